"""Sites: where steps run. One file each, found as endpoints are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from metis_flow.inference.config_files import config_files, find_file, read_config

DEFAULT_SITE = "local"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _workers(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError("should be 'auto' or a whole number above 0")


class ExecutorConfig(_Part):
    """One executor of a site.

    Attributes:
        kind: `threads` of the driver, or worker `processes` on this machine.
        workers: how many instances run at once; `auto`: one a core.
    """

    kind: Literal["threads", "processes"]
    workers: Annotated[Literal["auto"] | int, BeforeValidator(_workers)] = "auto"

    @property
    def worker_count(self) -> int:
        """Instances at once."""
        if isinstance(self.workers, int):
            return self.workers
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class SiteConfig(_Part):
    """One site file.

    Attributes:
        name: the file's name without its suffix.
        source: the file.
        executors: where steps run, by name.
    """

    name: str
    source: Path
    executors: dict[str, ExecutorConfig] = Field(min_length=1, max_length=1)

    @property
    def work(self) -> tuple[str, ExecutorConfig]:
        """Name and settings of the executor that steps run on."""
        return next(iter(self.executors.items()))


def find_site(name_or_path: str, *, beside: Path | None = None) -> SiteConfig:
    """The site of a name, or of a file.

    Args:
        beside: the workflow's folder; its ``sites/`` come before the user's own, and those before the packaged.

    Raises:
        ConfigError: there is no such site, or its file is wrong.
    """
    return _read(find_file("sites", name_or_path, mark="executors", beside=beside))


def list_sites(*, beside: Path | None = None) -> list[SiteConfig]:
    """Every site that has a name, in the order of names."""
    return [_read(path) for _, path in sorted(config_files("sites", mark="executors", beside=beside).items())]


def _read(path: Path) -> SiteConfig:
    return read_config(path, SiteConfig, name=path.stem, source=path)
