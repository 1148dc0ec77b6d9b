"""From a site to the `parsl.Config` that runs on it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.executors.base import ParslExecutor
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
from parsl.providers import LocalProvider

from metis_flow.errors import ConfigError
from metis_flow.sites.config import ExecutorConfig, SiteConfig

STRATEGY_PERIOD = 0.2
"""Seconds; Parsl's own 5 s are most of a block's start-up time."""
HEARTBEAT_SECONDS = 1
"""How often the workers' manager looks after them: with Parsl's own 30 s a killed one is missed for half a minute."""

# A terminal's Ctrl-C goes to all of the driver's process group, and what runs could not finish without the interchange.
_IN_A_SESSION = "import os, runpy, sys; os.setsid(); del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"


def parsl_config(site: SiteConfig, run_dir: Path, *, work: bool, others: Sequence[ParslExecutor] = ()) -> Config:
    """The Parsl configuration of a run.

    Args:
        run_dir: Parsl's own private folder.
        work: whether the plan has steps for the site's executor; without any it is not started.
        others: executors of the driver itself.
    """
    name, settings = site.work
    executors = [*others, *([_executor(name, settings)] if work else [])]
    return Config(
        executors=executors,
        run_dir=str(run_dir),
        initialize_logging=False,
        strategy="none" if settings.kind == "threads" or not work else "simple",
        strategy_period=STRATEGY_PERIOD,
        retries=0,
        usage_tracking=0,
    )


def _executor(name: str, settings: ExecutorConfig) -> ParslExecutor:
    if settings.kind == "threads":
        return ThreadPoolExecutor(label=name, max_threads=settings.worker_count)
    return HighThroughputExecutor(
        label=name,
        address="127.0.0.1",
        loopback_address="127.0.0.1",
        max_workers_per_node=settings.worker_count,
        cores_per_worker=1,
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),  # type: ignore[no-untyped-call]
        encrypted=True,
        heartbeat_period=HEARTBEAT_SECONDS,
        interchange_launch_cmd=[sys.executable, "-c", _IN_A_SESSION, helper("interchange.py")],
        launch_cmd=_launch_command(),
    )


def helper(name: str) -> str:
    """The full path of one of Parsl's helper programs, so that an unactivated environment works too.

    Raises:
        ConfigError: the environment lacks it.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise ConfigError(
            f"Parsl's {name} is not beside {sys.executable}", hint="install parsl into the same environment"
        )
    return found


def _launch_command() -> str:
    program, _, rest = DEFAULT_LAUNCH_CMD.partition(" ")
    return f"{sys.executable} {helper(program)} {rest}"
