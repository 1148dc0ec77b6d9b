"""Results that need not be made again: those of this run's earlier parts, and those of earlier runs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from metis_flow.engine.options import RunOptions
from metis_flow.engine.scope import from_journal
from metis_flow.errors import StepFailed
from metis_flow.plan.content import Contents
from metis_flow.plan.plan import Plan
from metis_flow.record.cache import Cache
from metis_flow.record.earlier import Earlier
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import Written
from metis_flow.record.rows_file import adopted
from metis_flow.workflow.functions import address_of
from metis_flow.workflow.rows import FileRows
from metis_flow.workflow.values import FileRef


@dataclass(frozen=True)
class Found:
    """How an instance ended earlier.

    Attributes:
        entry: its ``done`` or ``failed`` entry; or an ``answer`` entry, which is not the instance's end.
        run: the earlier run that made it; None where it is of this run.
        written: the entry in this run's own journal, where it is there.
    """

    entry: Mapping[str, Any]
    run: str | None = None
    written: Written | None = None


class Reuse(Protocol):
    """Finds results that need not be made again."""

    def find(self, step: str, key: str | None, content: str, own_only: str | None) -> Found | None:
        """How an instance ended earlier, or what it was answered, if that depends on the same things now.

        Args:
            content: the digest of its content key.
            own_only: why other runs' results are of no use to it; None where they are.
        """

    def refresh(self) -> None:
        """Look at what other runs have made meanwhile."""


class Results:
    """What this run and earlier ones have made.

    Args:
        own: of this run; None where it has just begun.
        cache: of earlier runs; None where they are not to be used.
        forced: steps whose instances run again whatever earlier runs hold.
        redone: steps of which the results of this run do not count either.
        taken: steps that do not run at all: any earlier result of them is good enough.
        folder: of the run that uses them; None where it is only thought of.
    """

    def __init__(
        self,
        own: Earlier | None,
        cache: Cache | None,
        *,
        forced: frozenset[str] = frozenset(),
        redone: frozenset[str] = frozenset(),
        taken: frozenset[str] = frozenset(),
        folder: RunFolder | None = None,
    ) -> None:
        self._folder = folder
        self._own = own
        self._cache = cache
        self._forced = forced
        self._redone = redone
        self._taken = taken
        self._contents = Contents()

    def find(self, step: str, key: str | None, content: str, own_only: str | None) -> Found | None:
        """As `Reuse.find`."""
        if self._own is not None and step not in self._redone:
            entry, place = self._own.find(step, key, content), self._own.place(step, key)
            if entry is None:
                entry, place = self._own.answer(step, key, content), None
            if entry is not None and (entry["e"] != "done" or self._is_whole(entry)):
                return Found(entry, written=None if place is None else Written(place=place))
        if self._cache is None or step in self._forced:
            return None
        if own_only is not None and step not in self._taken:
            return None
        hit = self._cache.find(content)
        if hit is None or hit.entry.get("own") or not self._is_whole(hit.entry):
            return None
        return Found(self._own_rows(hit.entry, step, key), hit.run)

    def refresh(self) -> None:
        """Look at what other runs have made meanwhile."""
        if self._cache is not None:
            self._cache.refresh()

    def _own_rows(self, entry: Mapping[str, Any], step: str, key: str | None) -> Mapping[str, Any]:
        """The entry with its rows, where it has them in a file, in a file of this run: the other may be removed."""
        if entry.get("kind") != "rows" or self._folder is None:
            return entry
        name = "instance" if key is None else address_of(key)
        folder = self._folder.instance_folder(step, name, many=False)
        with contextlib.suppress(OSError):  # read where it is, if there is no room here
            rows = adopted(FileRows.of(entry["output"]), folder, within=self._folder.path)
            return {**entry, "output": rows.as_dict()}
        return entry

    def _is_whole(self, entry: Mapping[str, Any]) -> bool:
        """Whether the files of a result are still there, as they were."""
        value = from_journal(entry["output"], entry.get("kind", "json"))
        for file in value if isinstance(value, list) else [value]:
            if not isinstance(file, FileRef | FileRows):
                return True
            try:
                if self._contents.file_hash(Path(file.path)) != file.sha256:
                    return False
            except StepFailed:
                return False
        return True


def results_for(
    plan: Plan,
    options: RunOptions,
    folder: RunFolder | None,
    own: Earlier | None = None,
    redone: frozenset[str] = frozenset(),
) -> Results:
    """What need not be made again in a run.

    Args:
        folder: the run; None where it is only thought of.
        own: what earlier parts of it have made.
        redone: steps of which that does not count.
    """
    roles = options.selection.roles(plan.graph) if options.selection is not None else {}
    cache = Cache(options.runs_dir, without=folder) if options.cache else None
    taken = frozenset(step for step, role in roles.items() if role == "take")
    return Results(own, cache, forced=options.forced, redone=redone, taken=taken, folder=folder)
