"""From a site to the `parsl.Config` that runs on it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from parsl.config import Config
from parsl.executors import HighThroughputExecutor, MPIExecutor, ThreadPoolExecutor
from parsl.executors.base import ParslExecutor

from metis_flow.errors import ConfigError
from metis_flow.sites.allocation import divide, site_hosts
from metis_flow.sites.blocks import give_up_early
from metis_flow.sites.choice import Use
from metis_flow.sites.commands import interchange_command, worker_command
from metis_flow.sites.config import SiteConfig, worker_count
from metis_flow.sites.executors import GlobusComputeConfig, HtexConfig, MpiConfig, ProcessesConfig
from metis_flow.sites.globus_compute import globus_compute_executor
from metis_flow.sites.providers import Nodes, is_here, make_provider, this_machine, worker_address
from metis_flow.sites.worker_logs import WorkerLogs

STRATEGY_PERIOD = 0.2
"""Seconds; Parsl's own 5 s are most of a block's start-up time."""
LOOK_AFTER_SECONDS = 1
"""How often a manager on this machine looks after its workers: with Parsl's 30 s a killed one is missed for as long."""

NO_CAP = 1e-9
"""Cores a worker: with more, Parsl starts no more workers than there are cores, whatever else is asked for."""


def parsl_config(
    site: SiteConfig,
    run_dir: Path,
    uses: Mapping[str, Use],
    *,
    others: Sequence[ParslExecutor] = (),
    hosts: Sequence[str] | None = None,
) -> Config:
    """The Parsl configuration of a run.

    Args:
        run_dir: Parsl's own private folder; workers see it by the same path.
        uses: the executors that the workflow uses; no other is started.
        others: executors of the driver itself.
        hosts: the nodes of the allocation; None to find them.

    Raises:
        ConfigError: there is no allocation where one is needed, or the nodes do not suffice.
    """
    parts = host_parts(site, uses, hosts)
    executors = [_executor(site, name, run_dir, use, parts.get(name)) for name, use in uses.items()]
    has_blocks = any(isinstance(executor, HighThroughputExecutor) for executor in executors)
    if has_blocks:
        check_path(run_dir)
    return Config(
        executors=[*others, *executors],
        run_dir=str(run_dir),
        # True would be a debug log, which costs more than all the rest
        initialize_logging=WorkerLogs() if has_blocks else False,
        strategy="simple",
        strategy_period=STRATEGY_PERIOD,
        max_idletime=site.max_idletime or 0.0,
        retries=0,
        usage_tracking=0,
    )


def host_parts(
    site: SiteConfig, uses: Mapping[str, Use], hosts: Sequence[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """The hosts of each executor that runs on nodes which are there already; each has its own."""
    here = [name for name in uses if is_here(site, site.executors[name])]
    if not here:
        return {}
    found = tuple(hosts) if hosts is not None else site_hosts(site)
    return divide(site, found, here) if site.scheduler is not None else dict.fromkeys(here, found)


def _executor(site: SiteConfig, name: str, run_dir: Path, use: Use, hosts: tuple[str, ...] | None) -> ParslExecutor:
    config = site.executors[name]
    if isinstance(config, GlobusComputeConfig):
        return globus_compute_executor(site, name, config)
    if isinstance(config, ProcessesConfig):
        return processes_executor(name, config)
    if isinstance(config, HtexConfig):
        return _htex(site, name, config, Nodes(site, name, config, run_dir, hosts))
    if isinstance(config, MpiConfig):
        return _mpi(site, name, config, Nodes(site, name, config, run_dir, hosts), use)
    return ThreadPoolExecutor(label=name, max_threads=worker_count(config))


def processes_executor(name: str, config: ProcessesConfig) -> ParslExecutor:
    """Worker processes on this machine."""
    return HighThroughputExecutor(
        label=name,
        address="127.0.0.1",
        loopback_address="127.0.0.1",
        max_workers_per_node=worker_count(config),
        cores_per_worker=NO_CAP,
        provider=this_machine(),
        encrypted=True,
        heartbeat_period=LOOK_AFTER_SECONDS,
        heartbeat_threshold=config.heartbeat_threshold,
        block_error_handler=give_up_early,
        interchange_launch_cmd=interchange_command(),
        launch_cmd=worker_command(),
    )


def _htex(site: SiteConfig, name: str, config: HtexConfig, nodes: Nodes) -> ParslExecutor:
    return HighThroughputExecutor(
        label=name,
        address=worker_address(site, config, nodes.hosts),
        loopback_address="127.0.0.1",
        max_workers_per_node=None if _is_unknown(config, nodes) else worker_count(config),
        cores_per_worker=config.cores_per_worker or (1 if config.workers == "auto" else NO_CAP),
        available_accelerators=config.accelerators,
        cpu_affinity=config.cpu_affinity,
        prefetch_capacity=config.prefetch_capacity,
        heartbeat_period=config.heartbeat_period,
        heartbeat_threshold=config.heartbeat_threshold,
        provider=make_provider(nodes),
        encrypted=True,
        block_error_handler=give_up_early,
        interchange_launch_cmd=interchange_command(),
        launch_cmd=worker_command(Path.cwd()),
    )


def _is_unknown(config: HtexConfig, nodes: Nodes) -> bool:
    """Whether only the nodes themselves know how many cores they have, and so how many workers they run."""
    return nodes.hosts is None and config.workers == "auto" and not (config.accelerator_count or config.cpus_per_node)


def _mpi(site: SiteConfig, name: str, config: MpiConfig, nodes: Nodes, use: Use) -> ParslExecutor:
    executor = MPIExecutor(
        label=name,
        address=worker_address(site, config, nodes.hosts),
        loopback_address="127.0.0.1",
        max_workers_per_block=mpi_workers(site, name, config, nodes.count, use),
        mpi_launcher=config.launcher,
        prefetch_capacity=config.prefetch_capacity,
        heartbeat_period=config.heartbeat_period,
        heartbeat_threshold=config.heartbeat_threshold,
        provider=make_provider(nodes),
        encrypted=True,
        block_error_handler=give_up_early,
        launch_cmd=worker_command(Path.cwd()),
    )
    executor.interchange_launch_cmd = interchange_command()  # which MPIExecutor itself takes as one string only
    return executor


def mpi_workers(site: SiteConfig, name: str, config: MpiConfig, nodes: int, use: Use) -> int:
    """MPI steps at once in one block.

    Raises:
        ConfigError: a step takes more nodes than there are; Parsl would wait for them for ever.
    """
    for step, wanted in use.nodes.items():
        if wanted > nodes:
            raise ConfigError(
                f"the step '{step}' takes {wanted} nodes, and the executor '{name}' of the site '{site.name}' "
                f"has {nodes}",
                where=str(site.source),
                hint="give the executor more nodes: --set nodes=…, or its part in 'split'",
            )
    fits = nodes // min(use.nodes.values(), default=1)
    return min(config.workers, fits) if isinstance(config.workers, int) else fits


def instances_at_once(site: SiteConfig, uses: Mapping[str, Use], hosts: Sequence[str] | None = None) -> dict[str, int]:
    """How many instances each executor runs at once, when it has all its blocks."""
    parts = host_parts(site, uses, hosts)
    return {name: _at_once(site, name, use, parts.get(name)) for name, use in uses.items()}


def _at_once(site: SiteConfig, name: str, use: Use, hosts: tuple[str, ...] | None) -> int:
    config = site.executors[name]
    if not isinstance(config, HtexConfig | MpiConfig):
        return worker_count(config)
    nodes = len(hosts) if hosts is not None else config.nodes or site.nodes or 1
    each = (
        mpi_workers(site, name, config, nodes, use) if isinstance(config, MpiConfig) else nodes * worker_count(config)
    )
    return each if hosts is not None else each * config.max_blocks


def driver_environment(site: SiteConfig) -> Mapping[str, str]:
    """The variables that the driver itself needs: those of the site, inside an allocation."""
    inside = site.scheduler is not None and any(is_here(site, config) for config in site.executors.values())
    return site.environment if inside else {}


def check_path(run_dir: Path) -> None:
    """Refuse what Parsl, which puts this path unquoted into commands, cannot start workers with.

    Raises:
        ConfigError: the path holds such a sign.
    """
    odd = re.search(r"[^\w./+@%,:=~-]", str(run_dir), re.ASCII)
    if odd:
        raise ConfigError(
            f"Parsl cannot start worker processes for a run below {run_dir.parent}: its path holds {odd[0]!r}",
            hint="give the runs another folder: --runs-dir DIR",
        )
