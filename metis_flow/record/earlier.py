"""What an earlier part of the same run has made: for its resume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from metis_flow.record.entry_reader import EntryReader
from metis_flow.record.folder import RunFolder
from metis_flow.record.index import ANSWER, CACHED, DONE, FAILED, SegmentIndex, index_of
from metis_flow.record.last_entries import StepEnds, joined, last_entries, split
from metis_flow.record.segments import segments


class Earlier:
    """How instances ended, read when asked for; only where that stands is kept in memory. For one thread at a time.

    Args:
        keep_failures: whether a failed instance counts as ended.

    Raises:
        RecordError: the record is damaged.
    """

    def __init__(self, folder: RunFolder, *, keep_failures: bool) -> None:
        self._journal = folder.journal
        self._kinds = (DONE, CACHED, FAILED) if keep_failures else (DONE, CACHED)
        self._reader = EntryReader()
        self._sizes: list[tuple[Path, int]] = []
        self._ends: dict[str, StepEnds] = {}
        self._answers: dict[tuple[str, str | None], list[int]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take in what was added since. For who was not the run's driver yet when this was made, and is now.

        Raises:
            RecordError: the record is damaged.
        """
        parts = segments(self._journal)
        sizes = [(segment.path, segment.path.lstat().st_size) for segment in parts]
        if sizes == self._sizes:
            return
        self._answers.clear()
        self._ends = last_entries(self._noted(map(index_of, parts)))
        self._sizes = sizes

    def find(self, step: str, key: str | None, ck: str) -> dict[str, Any] | None:
        """How an instance ended, if it depended on the same things then.

        Raises:
            RecordError: its entry is damaged.
        """
        entry = self.entry(step, key)
        return entry if entry is not None and entry.get("ck") == ck else None

    def answer(self, step: str, key: str | None, ck: str) -> dict[str, Any] | None:
        """An answer on the way to an instance's end (of a round, or of one of its questions), by its content key.

        Raises:
            RecordError: its entry is damaged.
        """
        for place in reversed(self._answers.get((step, key), ())):
            position, at = split(place)
            entry = self._reader.entry(self._sizes[position][0], at)
            if entry.get("ck") == ck:
                return entry
        return None

    def _noted(self, indexes: Iterable[SegmentIndex]) -> Iterator[SegmentIndex]:
        """The indexes, after noting where their answers are."""
        for position, index in enumerate(indexes):
            for step, rows in index.steps.items():
                if ANSWER in rows.kind:
                    for key, kind, at in rows.rows():
                        if kind == ANSWER:
                            self._answers.setdefault((step, key), []).append(joined(position, at))
            yield index

    def entry(self, step: str, key: str | None) -> dict[str, Any] | None:
        """How an instance ended, whatever it depended on.

        Raises:
            RecordError: its entry is damaged.
        """
        place = self.place(step, key)
        if place is None:
            return None
        position, at = split(place)
        entry = self._reader.entry(self._sizes[position][0], at)
        return entry if entry.get("key") == key else None

    def place(self, step: str, key: str | None) -> int | None:
        """Where the entry is that says how an instance ended; see `metis_flow.record.last_entries.joined`."""
        ends = self._ends.get(step)
        found = ends.find(key) if ends is not None else None
        return found[1] if found is not None and found[0] in self._kinds else None

    def __len__(self) -> int:
        counts: Counter[str] = sum((ends.count() for ends in self._ends.values()), Counter())
        return sum(counts[kind] for kind in self._kinds)

    def close(self) -> None:
        """Close the files that are open."""
        self._reader.close()
