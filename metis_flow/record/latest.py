"""What an instance was made of the last time: for saying what has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metis_flow.errors import RecordError
from metis_flow.record.earlier import Earlier
from metis_flow.record.folder import RunFolder, name_in_id, named_runs
from metis_flow.record.own_runs import reason_against

_MOST_RUNS = 10
_MOST_INSTANCES = 300_000


@dataclass(frozen=True)
class Comparison:
    """An instance as an earlier run has it.

    Attributes:
        run: the run's id.
        ck: its content key there.
        parts: for each part of the content key the first 16 hex digits of its hash.
        folder: the run.
    """

    run: str
    ck: str | None
    parts: Mapping[str, str]
    folder: RunFolder


class Comparable:
    """Earlier runs of a workflow, read one by one as far back as is needed. For one thread at a time.

    Args:
        folders: the runs, newest first.
    """

    def __init__(self, folders: list[RunFolder]) -> None:
        self._waiting = folders[::-1]
        self._read: list[tuple[RunFolder, Earlier]] = []
        self._instances = 0

    def find(self, step: str, key: str | None) -> Comparison | None:
        """The newest result of an instance, or None: these runs have none, or only further back than is looked."""
        position = 0
        while position < len(self._read) or self._read_next():
            folder, earlier = self._read[position]
            position += 1
            try:
                entry = earlier.entry(step, key)
            except (RecordError, OSError):
                continue
            if entry is not None:
                return Comparison(folder.id, entry.get("ck"), entry.get("parts") or {}, folder)
        return None

    def _read_next(self) -> bool:
        """Go one run further back; False when that is far enough. A run that cannot be read is passed over."""
        while self._waiting and self._instances < _MOST_INSTANCES:
            folder = self._waiting.pop()
            try:
                if reason_against(folder) is not None:
                    continue
                earlier = Earlier(folder, keep_failures=False)
            except (RecordError, OSError):
                continue
            self._read.append((folder, earlier))
            self._instances += len(earlier)
            return True
        return False


def latest_of(runs_dir: Path, workflow_name: str, *, before: RunFolder | None = None) -> Comparable:
    """The latest runs of a workflow, ten at most; nothing of them is read yet.

    Args:
        workflow_name: as the workflow has it.
        before: only runs that are older than this one.
    """
    runs = named_runs(runs_dir)
    if before is not None:
        names = [run.id for run in runs]
        runs = runs[names.index(before.id) + 1 :] if before.id in names else runs
    name = name_in_id(workflow_name)
    return Comparable([run for run in runs if run.name == name][:_MOST_RUNS])
