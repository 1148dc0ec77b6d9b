"""Sites: where steps run. One file each, found as endpoints are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from metis_flow.errors import ConfigError, did_you_mean
from metis_flow.inference.config_files import config_files, looks_like_path, read_config

DEFAULT_SITE = "local"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ExecutorConfig(_Part):
    """One executor of a site.

    Attributes:
        kind: `threads` of the driver, or worker `processes` on this machine.
        workers: how many instances run at once; `auto`: one a core.
    """

    kind: Literal["threads", "processes"]
    workers: Literal["auto"] | Annotated[int, Field(gt=0)] = "auto"

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
    if looks_like_path(name_or_path):
        path = Path(name_or_path)
        if not path.is_file():
            raise ConfigError(f"there is no site file {name_or_path}", hint="check the path")
        return read_config(path, SiteConfig, name=path.stem, source=path)
    files = config_files("sites", mark="executors", beside=beside)
    if name_or_path not in files:
        raise ConfigError(f"there is no site '{name_or_path}'", hint=did_you_mean(name_or_path, files))
    path = files[name_or_path]
    return read_config(path, SiteConfig, name=path.stem, source=path)


def list_sites(*, beside: Path | None = None) -> list[SiteConfig]:
    """Every site that has a name, in the order of names."""
    files = config_files("sites", mark="executors", beside=beside)
    return [read_config(path, SiteConfig, name=path.stem, source=path) for _, path in sorted(files.items())]
