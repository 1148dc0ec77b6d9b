"""The nodes of an executor: Parsl's provider and launcher for them, and the way by which they reach the driver."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from parsl.launchers import MpiExecLauncher, SimpleLauncher, SingleNodeLauncher, SrunLauncher
from parsl.launchers.base import Launcher
from parsl.providers import LocalProvider, PBSProProvider, SlurmProvider
from parsl.providers.base import ExecutionProvider

from metis_flow.errors import ConfigError
from metis_flow.record.files import write_new
from metis_flow.sites.allocation import allocated_hosts
from metis_flow.sites.config import SiteConfig
from metis_flow.sites.executors import BlockConfig, ExecutorConfig, HtexConfig, MpiConfig
from metis_flow.sites.worker_init import default_worker_init, environment_lines

LOOPBACK = "127.0.0.1"
COMMAND_SECONDS = 60
"""How long sbatch or squeue may take; Parsl's own 10 s are not enough where a scheduler is busy."""
DEFAULT_WALLTIME = 3600.0
ONE_BLOCK = {"init_blocks": 1, "min_blocks": 1, "max_blocks": 1}
"""Nodes that are there are taken once, and kept."""


@dataclass(frozen=True)
class Nodes:
    """The nodes of one executor.

    Attributes:
        run_dir: Parsl's private folder.
        hosts: those that are there; None where jobs are submitted for them.
    """

    site: SiteConfig
    executor: str
    config: BlockConfig
    run_dir: Path
    hosts: tuple[str, ...] | None

    @property
    def count(self) -> int:
        """Nodes of one block."""
        return len(self.hosts) if self.hosts is not None else self.config.nodes or self.site.nodes or 1

    def setting(self, name: str) -> Any:
        """A setting of the executor, else of the site."""
        own = getattr(self.config, name)
        return own if own is not None else getattr(self.site, name)


def is_here(site: SiteConfig, config: ExecutorConfig) -> bool:
    """Whether an executor runs on nodes that are there already, its own or those of an allocation."""
    if not isinstance(config, HtexConfig | MpiConfig):
        return False
    if config.provider == "auto":
        return site.scheduler is None or allocated_hosts(site.scheduler) is not None
    return config.provider == "local"


def this_machine() -> ExecutionProvider:
    """One block of this machine, which stays."""
    return LocalProvider(**ONE_BLOCK)  # type: ignore[no-untyped-call]


def make_provider(nodes: Nodes) -> ExecutionProvider:
    """Parsl's provider for the nodes of an executor."""
    config, site = nodes.config, nodes.site
    common: dict[str, Any] = {
        "nodes_per_block": nodes.count,
        "worker_init": "\n".join(_worker_init(nodes)),
        "launcher": _launcher(nodes),
    }
    if nodes.hosts is not None:
        return LocalProvider(**common, **ONE_BLOCK)  # type: ignore[no-untyped-call]
    provider = site.scheduler if config.provider == "auto" else config.provider
    common |= {"init_blocks": config.init_blocks, "min_blocks": config.min_blocks, "max_blocks": config.max_blocks}
    common["walltime"] = clock(nodes.setting("walltime") or DEFAULT_WALLTIME)
    common["account"] = nodes.setting("account")
    if provider == "slurm":
        options = {"partition": nodes.setting("queue"), "scheduler_options": config.scheduler_options}
        return SlurmProvider(**common, **options, cores_per_node=config.cpus_per_node, cmd_timeout=COMMAND_SECONDS)
    filesystems = nodes.setting("filesystems")
    lines = [f"#PBS -l filesystems={filesystems}"] if filesystems else []
    return PBSProProvider(  # type: ignore[no-untyped-call]
        **common,
        queue=nodes.setting("queue"),
        cpus_per_node=config.cpus_per_node or 1,
        select_options=config.select_options,
        scheduler_options="\n".join([*lines, *filter(None, [config.scheduler_options])]),
    )


def clock(seconds: float) -> str:
    """A duration as schedulers write it: ``HH:MM:SS``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"


def _launcher(nodes: Nodes) -> Launcher:
    config = nodes.config
    if isinstance(config, MpiConfig) or config.launcher == "simple":
        return SimpleLauncher()
    if config.launcher == "mpiexec":
        return MpiExecLauncher(bind_cmd=config.bind_option, overrides=config.launcher_options)
    if config.launcher == "srun":
        return SrunLauncher(overrides=_srun_options(nodes, config))
    return SingleNodeLauncher()


def _srun_options(nodes: Nodes, config: HtexConfig) -> str:
    """One manager a node, and on the executor's own part of an allocation."""
    place = f"--nodes={nodes.count} --ntasks-per-node=1"
    own = f" --nodelist={','.join(nodes.hosts)}" if nodes.hosts is not None and nodes.site.scheduler == "slurm" else ""
    return f"{place}{own} {config.launcher_options}".strip()


def _worker_init(nodes: Nodes) -> list[str]:
    own = nodes.setting("worker_init")
    lines = [default_worker_init() if own is None else own.rstrip("\n"), *environment_lines(nodes.site.environment)]
    if nodes.hosts is not None:
        # launchers and Parsl's MPI steps read this file; of Slurm's variable they must not take the other nodes
        lines += [f"export PBS_NODEFILE={_nodefile(nodes)}", "unset SLURM_NODELIST"]
    elif isinstance(nodes.config, MpiConfig):
        once = f"{nodes.run_dir}/nodes-{nodes.executor}-$$"  # a host may stand there once for each chunk
        lines.append(f'[ -z "$PBS_NODEFILE" ] || {{ sort -u "$PBS_NODEFILE" > {once}; export PBS_NODEFILE={once}; }}')
    return [*lines, f"cd {nodes.run_dir}"]  # where launchers leave files of their own


def _nodefile(nodes: Nodes) -> Path:
    path = nodes.run_dir / f"nodes-{nodes.executor}"
    write_new(path, "".join(f"{host}\n" for host in nodes.hosts or ()).encode(), durable=False)
    return path


def worker_address(site: SiteConfig, config: BlockConfig, hosts: Sequence[str] | None) -> str:
    """The IP address by which workers reach the driver. Parsl's own search may ask a server on the internet.

    Raises:
        ConfigError: the site names an interface that is not there, or the host has no address.
    """
    there = _interfaces()
    if config.address == "auto":
        found = [there[name] for name in site.interfaces if name in there]
        alone = hosts is not None and len(hosts) == 1
        return found[0] if found else LOOPBACK if alone else _host_address(site)
    if config.address in there:
        return there[config.address]
    try:
        return str(ipaddress.ip_address(config.address))
    except ValueError:
        raise ConfigError(
            f"'{config.address}' is no IP address, and no network interface of this machine",
            where=str(site.source),
            hint=f"interfaces: {', '.join(sorted(there))}",
        ) from None


def _interfaces() -> dict[str, str]:
    """The IPv4 address of each network interface that has one."""
    found = psutil.net_if_addrs().items()
    return {name: each.address for name, all_of_it in found for each in all_of_it if each.family == socket.AF_INET}


def _host_address(site: SiteConfig) -> str:
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError as error:
        raise ConfigError(
            f"the address of this machine for the workers cannot be found: {error.strerror}",
            where=str(site.source),
            hint="name a network interface or an IP address as 'address' of the executor",
        ) from None
