"""The nodes of the batch job that this process runs in, and which executor gets which."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from metis_flow.errors import ConfigError
from metis_flow.sites.config import SiteConfig
from metis_flow.sites.executors import Scheduler

ANSWER_SECONDS = 20.0
_NAMES = {"pbs": "PBS", "slurm": "Slurm"}


def allocated_hosts(scheduler: Scheduler, environ: Mapping[str, str] | None = None) -> tuple[str, ...] | None:
    """The hosts of the allocation around this process, each once, in the scheduler's order; None outside of one.

    Args:
        environ: what to go by, instead of this process's environment.

    Raises:
        ConfigError: there is an allocation, and its hosts cannot be read.
    """
    environ = os.environ if environ is None else environ
    if scheduler == "slurm":
        nodes = environ.get("SLURM_JOB_NODELIST") or environ.get("SLURM_NODELIST")
        return _slurm_hosts(nodes) if nodes else None
    nodefile = environ.get("PBS_NODEFILE")
    if not nodefile:
        return None
    try:
        lines = Path(nodefile).read_text(encoding="utf-8").split()
    except OSError as error:
        raise ConfigError(f"PBS_NODEFILE cannot be read: {error.strerror}", where=nodefile) from None
    return tuple(dict.fromkeys(lines))  # a host may stand there once for each chunk or rank


def _slurm_hosts(nodes: str) -> tuple[str, ...]:
    if "[" not in nodes:
        return tuple(dict.fromkeys(nodes.split(",")))
    command = ["scontrol", "show", "hostnames", nodes]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        raise ConfigError(f"scontrol cannot read the nodes {nodes}", detail=error.stderr.strip()) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"the nodes {nodes} cannot be read: scontrol: {error}") from None
    return tuple(dict.fromkeys(answer.stdout.split()))


def site_hosts(site: SiteConfig, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The hosts that the site's `local` executors run on.

    Raises:
        ConfigError: the site needs an allocation and there is none, or it has fewer nodes than the site asks for.
    """
    if site.scheduler is None:
        return (socket.gethostname(),)
    hosts = allocated_hosts(site.scheduler, environ)
    if not hosts:
        raise _outside(site)
    if site.nodes is not None and site.nodes > len(hosts):
        there = "1 node" if len(hosts) == 1 else f"{len(hosts)} nodes"
        raise ConfigError(
            f"the site '{site.name}' asks for {site.nodes} nodes, and this allocation has {there}",
            where=str(site.source),
            hint=f"say --set nodes={len(hosts)}, or leave 'nodes' out to use them all",
        )
    return hosts[: site.nodes]


def _outside(site: SiteConfig) -> ConfigError:
    scheduler = _NAMES[site.scheduler or "pbs"]
    elsewhere = f"on a login node say --site {site.login_site}; or " if site.login_site else ""
    return ConfigError(
        f"the site '{site.name}' is for the inside of a {scheduler} allocation, and this is none",
        where=str(site.source),
        hint=f"{elsewhere}let a job run the workflow: metis-flow submit FILE --site {site.name}",
    )


def divide(site: SiteConfig, hosts: Sequence[str], executors: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The hosts of each executor.

    Args:
        executors: those that are used and run on the hosts.

    Raises:
        ConfigError: several would take the same hosts, or there are not enough of them.
    """
    if len(executors) < 2:
        return {name: tuple(hosts) for name in executors}
    split = site.split or {}
    missing = [name for name in executors if name not in split]
    if missing:
        raise _undivided(site, hosts, executors)
    counts = {name: split[name] for name in executors}
    taken = sum(count for count in counts.values() if isinstance(count, int))
    rest = len(hosts) - taken
    if rest < ("rest" in counts.values()):
        words = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise ConfigError(
            f"{len(hosts)} nodes cannot be divided into {words}",
            where=str(site.source),
            hint="ask for more nodes, or give the executors fewer",
        )
    remaining = list(hosts)
    parts = {}
    for name, count in counts.items():
        size = rest if count == "rest" else int(count)
        parts[name], remaining = tuple(remaining[:size]), remaining[size:]
    return parts


def _undivided(site: SiteConfig, hosts: Sequence[str], executors: Sequence[str]) -> ConfigError:
    mpi = next((name for name in executors if site.executors[name].kind == "mpi"), executors[-1])
    parts = ", ".join(f"{name}: {1 if name == mpi else 'rest'}" for name in executors)
    there = "the node" if len(hosts) == 1 else f"the {len(hosts)} nodes"
    more = "ask for more nodes and " if len(hosts) < len(executors) else ""
    return ConfigError(
        f"the executors {' and '.join(executors)} of the site '{site.name}' would all take {there} of the allocation",
        where=str(site.source),
        hint=f"{more}divide them: --set 'split={{{parts}}}'; or let all steps run on one: 'executor: {mpi}'",
    )
