"""What a site file may say about one executor."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from metis_flow.units import parse_duration, parse_size

Scheduler = Literal["pbs", "slurm"]
CHAT = "chat"
"""The executor of chat steps: the driver's own event loop, on every site."""


class Part(BaseModel):
    """A part of a site file: no key but those it knows, and no value turned into another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _workers(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError("should be 'auto' or a whole number above 0")


def _word(value: Any) -> Any:
    # an account may be a number, and it goes on the command line of qsub or sbatch
    word = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if word is None or (isinstance(word, str) and re.fullmatch(r"[\w.@%+-]+", word)):
        return word
    raise ValueError("should be one word: letters, digits, '.', '_' and '-'")


def _filesystems(value: Any) -> Any:
    names = value if isinstance(value, list) else [value]
    if value is None or all(isinstance(name, str) and re.fullmatch(r"\w+(:\w+)*", name) for name in names):
        return value if value is None else ":".join(names)
    raise ValueError("should be names with ':' between them, such as home:eagle")


def _seconds(value: Any) -> Any:
    return None if value is None else parse_duration(value)


def _bytes(value: Any) -> Any:
    return None if value is None else parse_size(value)


Workers = Annotated[Literal["auto"] | int, BeforeValidator(_workers)]
Word = Annotated[str | None, BeforeValidator(_word)]
FileSystems = Annotated[str | None, BeforeValidator(_filesystems)]
Seconds = Annotated[float | None, BeforeValidator(_seconds)]
Bytes = Annotated[int | None, BeforeValidator(_bytes)]
Count = Annotated[int, Field(gt=0)]


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Offer(Part):
    """What one instance gets, for steps that ask for ``resources``. What a file leaves out is not checked.

    Attributes:
        cores: cores that it may use.
        gpus: accelerators (on Aurora: tiles) of its own.
        memory: bytes.
    """

    cores: Count | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    memory: Bytes = None


class ThreadsConfig(_Offer):
    """Threads of the driver.

    Attributes:
        workers: instances at once; `auto`: one a core.
    """

    kind: Literal["threads"]
    workers: Workers = "auto"


class ProcessesConfig(_Offer):
    """Worker processes on this machine, by Parsl's HighThroughputExecutor.

    Attributes:
        workers: instances at once; `auto`: one a core.
        heartbeat_threshold: seconds without a sign of life after which the workers' manager counts as lost.
    """

    kind: Literal["processes"]
    workers: Workers = "auto"
    heartbeat_threshold: Count = 30


class _Blocks(_Offer):
    """Nodes, and the way to them. What is left out here is taken from the site.

    Attributes:
        provider: `local`: the nodes are there, those of the site's allocation or this machine; `pbs` and `slurm`: jobs
            are submitted for them; `auto`: `local` inside an allocation of the site's scheduler, else its jobs.
        nodes: nodes of one block; in an allocation the most that are used.
        address: where workers reach the driver: an IP address, the name of a network interface, or `auto`: the first
            interface of the site's that exists, else the host's address.
        heartbeat_period, heartbeat_threshold: seconds.
        walltime: of one block, in seconds.
        select_options: added to the chunk that PBS is asked for.
        scheduler_options: further lines for the top of the job script.
        cpus_per_node: what is asked of the scheduler.
        init_blocks, min_blocks, max_blocks: jobs at the start, at least and at most; nodes that are there are one.
    """

    provider: Literal["local", "auto"] | Scheduler = "local"
    nodes: Count | None = None
    address: str = "auto"
    prefetch_capacity: Annotated[int, Field(ge=0)] = 0
    heartbeat_period: Count = 15
    heartbeat_threshold: Count = 120
    account: Word = None
    queue: Word = None
    walltime: Seconds = None
    filesystems: FileSystems = None
    worker_init: str | None = None
    select_options: str = ""
    scheduler_options: str = ""
    cpus_per_node: Count | None = None
    init_blocks: Annotated[int, Field(ge=0)] = 1
    min_blocks: Annotated[int, Field(ge=0)] = 1
    max_blocks: Count = 1


class HtexConfig(_Blocks):
    """Workers on nodes: one manager a node, by Parsl's HighThroughputExecutor.

    Attributes:
        workers: a node; `auto`: one an accelerator, else one a core.
        cores_per_worker: Parsl starts no more workers than the node's cores over this number; None for as many as
            `workers` says.
        accelerators: their number or names; each worker is given one.
        cpu_affinity: `none`, `block`, `alternating`, or `list:` and the CPUs of each worker.
        launcher: what starts the manager of each node.
        launcher_options: further words of its command.
        bind_option: how `mpiexec` is told to bind no process to CPUs.
    """

    kind: Literal["htex"]
    workers: Workers = "auto"
    cores_per_worker: Annotated[float, Field(gt=0)] | None = None
    accelerators: Annotated[int, Field(ge=0)] | list[str] = 0
    cpu_affinity: str = "none"
    launcher: Literal["mpiexec", "srun", "simple", "single"] = "single"
    launcher_options: str = ""
    bind_option: str = "--cpu-bind"

    @property
    def accelerator_count(self) -> int:
        """Accelerators of one node."""
        return self.accelerators if isinstance(self.accelerators, int) else len(self.accelerators)


class MpiConfig(_Blocks):
    """Whole nodes for scripts that start their own ranks, by Parsl's MPIExecutor. ``cores`` and ``gpus`` are a node's.

    Attributes:
        workers: instances at once; `auto`: as many as the nodes allow.
        launcher: the command that `$PARSL_MPI_PREFIX` begins with.
    """

    kind: Literal["mpi"]
    workers: Workers = "auto"
    launcher: Literal["mpiexec", "srun", "aprun"] = "mpiexec"


class GlobusComputeConfig(_Offer):
    """A Globus Compute endpoint.

    Attributes:
        endpoint: its UUID.
        user_endpoint_config: what a multi-user endpoint asks for, such as account and queue.
        workers: instances sent at once.
        shared_folder: whether the endpoint sees the folder of the run; without that it can run no script.
    """

    kind: Literal["globus-compute"]
    endpoint: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")] | None = None
    user_endpoint_config: dict[str, Any] = Field(default_factory=dict)
    workers: Workers = 32
    shared_folder: bool = False


BlockConfig = HtexConfig | MpiConfig
ExecutorConfig = Annotated[
    ThreadsConfig | ProcessesConfig | HtexConfig | MpiConfig | GlobusComputeConfig, Field(discriminator="kind")
]
KINDS: dict[str, type[Part]] = {
    "threads": ThreadsConfig,
    "processes": ProcessesConfig,
    "htex": HtexConfig,
    "mpi": MpiConfig,
    "globus-compute": GlobusComputeConfig,
}
