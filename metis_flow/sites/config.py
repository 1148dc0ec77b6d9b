"""Sites: where steps run. One file each, found as endpoints are; one file may extend another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from metis_flow.inference.config_files import config_files
from metis_flow.sites.executors import (
    CHAT,
    Count,
    ExecutorConfig,
    FileSystems,
    HtexConfig,
    MpiConfig,
    Part,
    Scheduler,
    Seconds,
    Word,
    usable_cores,
)
from metis_flow.sites.layers import MARK, Layers, read_layers

DEFAULT_SITE = "local"
WORKERS = "workers"
"""Names the default executor of a site that has none of this name, so that one file runs on every site."""


class SiteConfig(Part):
    """One site, with what it extends and with the user's own settings.

    Attributes:
        name: the file's name without its suffix.
        source: the file.
        description: one line for lists.
        scheduler: whose allocations `local` providers use; None on a machine without one.
        login_site: the site for login nodes, where this one is for the inside of an allocation.
        default: the executor of steps that ask for nothing; the first if None.
        account, queue, nodes, walltime, filesystems: of every executor that takes them and has none of its own;
            walltime in seconds.
        worker_init: shell lines that make a worker's environment; None for lines that make the driver's own.
        environment: variables of workers; inside an allocation also the driver's. One that is set keeps its value.
        interfaces: network interfaces of which the first that exists is the address for workers.
        split: the nodes of each executor where several share an allocation: numbers, or `rest` for one.
        max_idletime: seconds after which blocks that have nothing to do are given back.
        executors: where steps run, by name.
    """

    name: str
    source: Path
    description: str | None = None
    scheduler: Scheduler | None = None
    login_site: str | None = None
    default: str | None = None
    account: Word = None
    queue: Word = None
    nodes: Count | None = None
    walltime: Seconds = None
    filesystems: FileSystems = None
    worker_init: str | None = None
    environment: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = Field(default_factory=dict)
    interfaces: list[str] = Field(default_factory=list)
    split: dict[str, Count | Literal["rest"]] | None = None
    max_idletime: Seconds = 120.0
    executors: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")], ExecutorConfig] = Field(min_length=1)

    @field_validator("executors")
    @classmethod
    def _check_names(cls, executors: dict[str, ExecutorConfig]) -> dict[str, ExecutorConfig]:
        if CHAT in executors:
            raise ValueError(f"'{CHAT}' is the driver's own executor; choose another name")
        return executors

    @model_validator(mode="after")
    def _check_references(self) -> SiteConfig:
        for field, names in (("default", [self.default] if self.default else []), ("split", self.split or {})):
            for name in names:
                if name not in self.executors:
                    raise ValueError(f"'{field}' names '{name}', which is none of the executors")
        if list((self.split or {}).values()).count("rest") > 1:
            raise ValueError("'split' gives the rest of the nodes to more than one executor")
        return self

    @property
    def work(self) -> tuple[str, ExecutorConfig]:
        """Name and settings of the default executor."""
        first = next((n for n, e in self.executors.items() if not isinstance(e, MpiConfig)), next(iter(self.executors)))
        name = self.default or first
        return name, self.executors[name]

    def executor_name(self, word: str) -> str | None:
        """The executor that a word in a workflow means: a name, or `workers` for the default; None for no executor."""
        if word in self.executors:
            return word
        return self.work[0] if word == WORKERS else None


def worker_count(config: ExecutorConfig) -> int:
    """Instances at once on one node of an executor; `auto`: one an accelerator, else one a core."""
    if isinstance(config.workers, int):
        return config.workers
    if isinstance(config, MpiConfig):
        return 1
    if isinstance(config, HtexConfig):
        return config.accelerator_count or config.cpus_per_node or usable_cores()
    return usable_cores()


def find_site(name_or_path: str, *, beside: Path | None = None, settings: Sequence[str] = ()) -> SiteConfig:
    """The site of a name, or of a file.

    Args:
        beside: the workflow's folder; its ``sites/`` come before the user's own, and those before the packaged.
        settings: the user's own ``FIELD=VALUE``, which go before the file; a field may be ``executors.NAME.FIELD``.

    Raises:
        ConfigError: there is no such site, or its file or a setting is wrong.
    """
    return read_site(name_or_path, beside=beside, settings=settings)[0]


def read_site(
    name_or_path: str, *, beside: Path | None = None, settings: Sequence[str] = ()
) -> tuple[SiteConfig, Layers]:
    """A site as `find_site` gives it, and the layers that tell where each of its values comes from."""
    layers = read_layers(name_or_path, beside=beside, settings=settings)
    return layers.check(SiteConfig, name=layers.source.stem, source=layers.source), layers


def list_sites(*, beside: Path | None = None) -> list[SiteConfig]:
    """Every site that has a name, in the order of names."""
    return [find_site(name, beside=beside) for name in sorted(config_files("sites", mark=MARK, beside=beside))]
