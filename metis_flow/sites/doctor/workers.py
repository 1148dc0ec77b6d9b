"""Starts the workers of a site and compares them with the driver."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from pathlib import Path
from types import FunctionType
from typing import Any

from metis_flow.errors import MetisFlowError
from metis_flow.record.lockfile import PACKAGES
from metis_flow.sites.choice import Use
from metis_flow.sites.config import SiteConfig
from metis_flow.sites.doctor.finding import Finding, fail, ok
from metis_flow.sites.doctor.here import SOCKET_NAME, SOCKET_PATH
from metis_flow.sites.executors import HtexConfig, ProcessesConfig
from metis_flow.sites.parsl_config import instances_at_once, parsl_config
from metis_flow.units import format_duration

MOST_PROBES = 64
PROBE_SECONDS = 0.5
"""How long one lasts, so that all workers get some."""
WAIT_SECONDS = 600.0


def probe(names: tuple[str, ...], marker: str, seconds: float) -> dict[str, Any]:
    """What a worker sees. It uses nothing of metis-flow, which a worker may not have.

    Args:
        names: packages.
        marker: a file of the driver's.
        seconds: how long it lasts.
    """
    import os
    import platform
    import socket
    import tempfile
    import time
    from importlib import metadata

    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    time.sleep(seconds)
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "packages": versions,
        "tmpdir": tempfile.gettempdir(),
        "sees": os.path.exists(marker),
    }


def by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of a function that belongs to no module: it is sent whole, and not by a name that workers have to know."""
    return FunctionType(function.__code__, {"__builtins__": __builtins__}, function.__name__)


def about_workers(site: SiteConfig, runs_dir: Path, *, seconds: float = WAIT_SECONDS) -> Iterator[Finding]:
    """Start the site's workers as a run does, and look at what they see.

    Args:
        runs_dir: a folder of the trial's own is made in it, and removed.
        seconds: how long to wait for them; a job may have to wait in a queue.
    """
    name, config = site.work
    if not isinstance(config, HtexConfig | ProcessesConfig):
        yield ok("workers", f"the executor '{name}' ({config.kind}) is not tried")
        return
    runs_dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="doctor-", dir=runs_dir.absolute()))
    try:
        seen, problem = _ask(site, name, folder, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if problem is not None:
        yield problem
    if seen:
        yield from compare(seen, probe(PACKAGES, str(folder.parent), 0))


def _ask(site: SiteConfig, name: str, folder: Path, seconds: float) -> tuple[list[dict[str, Any]], Finding | None]:
    """What the workers see, and what kept some from telling."""
    from parsl import python_app
    from parsl.dataflow.dflow import DataFlowKernel

    marker = folder / "marker"
    marker.touch()
    uses = {name: Use(("doctor",), {})}
    parsl_dir = folder / "parsl"
    parsl_dir.mkdir(mode=0o700)
    mend = "the lines above are the scheduler's or the worker's own: mend 'worker_init', account or queue"
    try:
        count = min(2 * instances_at_once(site, uses)[name], MOST_PROBES)
        kernel = DataFlowKernel(parsl_config(site, parsl_dir, uses))
    except MetisFlowError as error:
        return [], fail("workers", error.summary, error.hint or mend)
    try:
        app = python_app(by_value(probe), data_flow_kernel=kernel, executors=[name])
        futures = [app(PACKAGES, str(marker), PROBE_SECONDS) for _ in range(count)]
        done, waiting = wait(futures, timeout=seconds)
        errors = [future.exception() for future in done if future.exception() is not None]
        seen = [future.result() for future in done if future.exception() is None]
    finally:
        kernel.cleanup()
    if errors:
        return seen, fail("workers", f"they fail: {errors[0]}", mend)
    if waiting:
        return seen, fail(
            "workers", f"none answered within {format_duration(seconds)}", "see whether the job waits: qstat or squeue"
        )
    return seen, None


def compare(seen: Sequence[Mapping[str, Any]], driver: Mapping[str, Any]) -> Iterator[Finding]:
    """What the workers see, against what the driver has.

    Args:
        seen: what `probe` gave on the workers, at least one.
        driver: what it gave here.
    """
    hosts = sorted({worker["host"] for worker in seen})
    yield ok("workers", f"answer on {len(hosts)} {'host' if len(hosts) == 1 else 'hosts'}: {', '.join(hosts[:4])}")
    same = "let workers use the driver's environment: leave 'worker_init' out, or enter the same one in it"
    others = sorted({worker["python"] for worker in seen} - {driver["python"]})
    if others:
        yield fail("worker python", f"Python {', '.join(others)}, and the driver has {driver['python']}", same)
    differing = sorted({line for worker in seen for line in _differences(worker["packages"], driver["packages"])})
    if differing:
        yield fail("worker packages", "; ".join(differing), same)
    if not others and not differing:
        yield ok("worker packages", "Python and packages are the driver's")
    if not all(worker["sees"] for worker in seen):
        mend = "choose a folder that all nodes share: --runs-dir DIR"
        yield fail("shared folder", "workers do not see the folder of the runs", mend)
    else:
        yield ok("shared folder", "workers see the folder of the runs")
    longest = max((worker["tmpdir"] for worker in seen), key=len)
    if len(longest) > SOCKET_PATH - SOCKET_NAME:
        mend = "add to worker_init: export TMPDIR=/tmp"
        yield fail("worker TMPDIR", f"{longest} is too long for sockets (AF_UNIX path too long)", mend)


def _differences(worker: Mapping[str, str], driver: Mapping[str, str]) -> Iterator[str]:
    for name, version in driver.items():
        if worker.get(name) != version:
            yield f"{name} {worker.get(name, 'missing')}, and the driver has {version}"
