"""The folder of one run, and how to find it by what a user types."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_flow.errors import RecordError, did_you_mean
from metis_flow.record import files

_ID = re.compile(r"(?P<name>.+)-(?P<when>\d{8}-\d{6}-[0-9a-f]{6})")
_SLUG = re.compile(r"[A-Za-z0-9_,=@+][A-Za-z0-9_.,=@+-]*")
_LISTED = 10


@dataclass(frozen=True)
class RunFolder:
    """The folder that holds the record of one run.

    Attributes:
        path: the folder, ``runs/<name>-<YYYYmmdd>-<HHMMSS>-<6 hex>``.
    """

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def name(self) -> str:
        """The workflow's name, as it stands in the id."""
        match = _ID.fullmatch(self.id)
        return match["name"] if match else self.id

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def driver(self) -> Path:
        """The folder of the driver lock."""
        return self.path / "driver"

    @property
    def requests(self) -> Path:
        return self.path / "requests"

    @property
    def outputs(self) -> Path:
        return self.path / "outputs"

    @property
    def steps(self) -> Path:
        return self.path / "steps"

    @property
    def sources(self) -> Path:
        return self.path / "sources"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock.json"

    @property
    def workflow_file(self) -> Path:
        return self.path / "workflow.yaml"

    @classmethod
    def create(cls, runs_dir: Path, name: str) -> RunFolder:
        """Make the private folder of a new run.

        Ids of runs that were made one after the other sort so: the time in them is UTC, and the six hex digits go on
        with it (the fraction of the second).

        Args:
            name: the workflow's name; what does not suit a folder's name becomes ``-``.
        """
        runs_dir.mkdir(parents=True, exist_ok=True)
        plain = name_in_id(name)
        while True:
            folder = cls(runs_dir.absolute() / f"{plain}-{_stamp(time.time())}")
            try:
                files.make_private_folder(folder.path)
            except FileExistsError:
                continue
            break
        folder.lay_out()
        return folder

    def lay_out(self) -> None:
        """Make the folders in it; those that are there already stay as they are."""
        for part in (self.path, self.journal, self.driver, self.requests, self.outputs, self.steps):
            part.parent.mkdir(parents=True, exist_ok=True)
            files.make_private_folder(part, exist_ok=True)

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write a file of the record whole: durable, private, by one rename; folders on the way are made.

        Args:
            name: relative to the run folder, such as ``workflow.yaml`` or ``sources/prompts/x.md``.

        Raises:
            RecordError: the name, or a link on the way, leads out of the run folder.
        """
        path = files.inside(self.path, name)
        files.make_parents(path, within=self.path)
        files.write_atomic(path, data)
        return path

    def write_json(self, name: str, data: Any) -> Path:
        """Write a JSON file of the record whole, as `write_bytes` does."""
        text = json.dumps(data, ensure_ascii=True, allow_nan=False, indent=1)
        return self.write_bytes(name, text.encode() + b"\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the record.

        Raises:
            RecordError: it is not there, is no JSON, or leads out of the run folder.
        """
        path = files.inside(self.path, name)
        try:
            with files.open_plain(path) as file:
                return json.loads(file.read())
        except FileNotFoundError:
            raise RecordError(f"the run has no {name}", where=str(self.path)) from None
        except (ValueError, RecursionError) as error:
            raise RecordError(f"the file is damaged: {error}", where=str(path)) from None

    def instance_folder(self, step: str, address_slug: str, *, many: bool) -> Path:
        """Where the files of an instance belong: ``steps/<step>/<slug>``. Nothing is made.

        Args:
            address_slug: the part of its address after the ``@``; for a lone step, whatever the engine calls it.
            many: whether the step has so many instances that they are spread over 256 folders.

        Raises:
            RecordError: one of the two is no name for a folder.
        """
        for part in (step, address_slug):
            if not _SLUG.fullmatch(part):
                raise RecordError(f"{part!r} cannot name a folder of the record", where=self.id)
        folder = self.steps / step
        if many:
            folder /= hashlib.sha256(address_slug.encode()).hexdigest()[:2]
        return folder / address_slug

    def inside(self, path: Path | str) -> Path:
        """A path in this folder (relative ones start here), refused with `RecordError` if a link leads out of it."""
        return files.inside(self.path, path)

    def promote(self, temporary: Path, final: Path) -> None:
        """Give finished files of a step their final name; see `metis_flow.record.files.promote`."""
        files.promote(temporary, final, within=self.path)


def name_in_id(name: str) -> str:
    """A workflow's name as it stands in the ids of its runs."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60] or "run"


def named_runs(runs_dir: Path) -> list[RunFolder]:
    """What is called like a run in a folder, newest first; nothing if the folder is not there."""
    try:
        with os.scandir(runs_dir) as entries:
            found = [(match["when"], entry.name) for entry in entries if (match := _ID.fullmatch(entry.name))]
    except FileNotFoundError:
        return []
    return [RunFolder(runs_dir.absolute() / name) for _, name in sorted(found, reverse=True)]


def list_runs(runs_dir: Path) -> list[RunFolder]:
    """The runs in a folder, newest first, without those that this user may not read."""
    return [folder for folder in named_runs(runs_dir) if _has_journal(folder.path)]


def find_run(ref: str, runs_dir: Path) -> RunFolder:
    """The run that a user means.

    Args:
        ref: an id, the beginning of one if only one run has it, the path of a run folder, or ``last`` for the newest.

    Raises:
        RecordError: no run, or more than one, is meant.
    """
    if os.sep in ref:
        return _run_at(Path(ref))
    runs = list_runs(runs_dir)
    if ref == "last" and runs:
        return runs[0]
    matching = [run for run in runs if run.id.startswith(ref)] if ref else []
    for run in matching:
        if run.id == ref or len(matching) == 1:
            return run
    if matching:
        ids = [run.id for run in matching[:_LISTED]]
        rest = [f"and {len(matching) - _LISTED} more"] if len(matching) > _LISTED else []
        raise RecordError(
            f"{ref!r} is the beginning of {len(matching)} runs",
            detail="\n".join(ids + rest),
            hint="write more of the id, or `last` for the newest run",
        )
    if _has_journal(Path(ref)):
        return RunFolder(Path(ref).absolute())
    if not runs:
        raise RecordError(
            f"there is no run in {runs_dir}",
            hint="start one with `metis-flow run FILE`, or say where the runs are with --runs-dir",
        )
    raise RecordError(
        f"there is no run {ref!r} in {runs_dir}",
        hint=did_you_mean(ref, [run.id for run in runs]) or "`metis-flow runs` lists them",
    )


def _run_at(path: Path) -> RunFolder:
    if not _has_journal(path):
        raise RecordError("this is no run folder: there is no journal in it", where=str(path))
    return RunFolder(path.absolute())


def _has_journal(path: Path) -> bool:
    # Asked in another user's private folder, `Path.is_dir` raises.
    return os.path.isdir(path / "journal")


def _stamp(now: float) -> str:
    when = datetime.datetime.fromtimestamp(int(now), datetime.timezone.utc)
    return f"{when:%Y%m%d-%H%M%S}-{int(now % 1 * 16**6):06x}"
