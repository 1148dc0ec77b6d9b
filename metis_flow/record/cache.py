"""Results of earlier runs under the same runs folder, found by content key.

Only finds: whether a result may be used again is for the engine to say. What a run that is going on has made durable is
found too; runs share it without waiting for one another.
"""

from __future__ import annotations

import errno
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_flow.errors import RecordError
from metis_flow.plan.hash_table import HashTable
from metis_flow.record import content_rows
from metis_flow.record.content_rows import MADE, ContentRows, prefix_of
from metis_flow.record.entry_reader import EntryReader
from metis_flow.record.folder import RunFolder, named_runs
from metis_flow.record.index import stamp_of
from metis_flow.record.own_runs import open_own, reason_against
from metis_flow.record.segments import Segment, segment_path, segments

_PLACE_BITS = 40
_QUIET_LOOKS = 24
_LOOKS_AT_QUIET = 50


@dataclass(frozen=True)
class Hit:
    """A result of an earlier run.

    Attributes:
        run: the id of the run that holds it.
        entry: its ``done`` entry. It has ``cached`` only where the run that made it is gone and a copy stands for it.
    """

    run: str
    entry: dict[str, Any]


@dataclass
class _Followed:
    """A run whose journal is read as it grows.

    Attributes:
        last: its last segment, `number` that segment's number here, `at` where to go on reading it, in bytes.
        quiet: how often in a row nothing had been added.
    """

    folder: RunFolder
    last: Segment | None = None
    number: int = 0
    at: int = 0
    quiet: int = 0


class Cache:
    """The results of earlier runs. For one thread at a time.

    A result that was made anew later stands for an older one, and one that was made for a copy of it. A run that
    cannot be read never keeps another from starting: what is wrong with it is left aside.

    Args:
        runs_dir: the folder of the runs; only those of this user count, and none that a symbolic link leads to.
        without: the run that asks.

    Attributes:
        skipped: runs of which not everything is used, with the reason, in the order in which it was noticed.
    """

    def __init__(self, runs_dir: Path, *, without: RunFolder | None) -> None:
        self.skipped: list[tuple[str, str]] = []
        self._runs_dir = runs_dir
        self._without = without.id if without is not None else None
        self._reader = EntryReader(open_own)
        self._load()

    def find(self, ck: str) -> Hit | None:
        """A result with this content key, if an earlier run holds one that is as it was written."""
        prefix = prefix_of(ck)
        if prefix is None:
            return None
        try:
            return self._read(prefix, ck)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                return None
        # A run was removed meanwhile; what it shared with others may still be found there.
        self._load()
        try:
            return self._read(prefix, ck)
        except OSError:
            return None

    def refresh(self) -> None:
        """Take in what has become durable since. Costs little where nothing has."""
        self._take_new()
        for run in [run for run in self._runs.values() if run.quiet < _QUIET_LOOKS]:
            self._look(run)
        # A run that ended long ago may be resumed: those are looked at in turn.
        for _ in range(min(_LOOKS_AT_QUIET, len(self._turn))):
            run = self._turn.popleft()
            if self._runs.get(run.folder.id) is run:
                self._turn.append(run)
                if run.quiet >= _QUIET_LOOKS:
                    self._look(run)

    def close(self) -> None:
        """Close the files that are open."""
        self._reader.close()

    def _load(self) -> None:
        self._reader.close()
        self.skipped.clear()
        self._table = HashTable()
        self._segments: list[tuple[str, Path]] = []
        self._runs: dict[str, _Followed] = {}
        self._refused: set[str] = set()
        self._turn: deque[_Followed] = deque()
        self._take_new()

    def _take_new(self) -> None:
        """Begin to follow the runs that are not followed yet, the newest last."""
        for folder in reversed(named_runs(self._runs_dir)):
            if folder.id in self._runs or folder.id in self._refused or folder.id == self._without:
                continue
            try:
                reason = reason_against(folder)
            except FileNotFoundError:
                continue  # it is being made, or removed
            except OSError as error:
                reason = error.strerror or str(error)
            if reason is not None:
                self._skip(folder.id, reason)
                continue
            run = self._runs[folder.id] = _Followed(folder)
            self._turn.append(run)
            self._look(run)

    def _look(self, run: _Followed) -> None:
        """Take in what was added to a run."""
        before = run.number, run.at
        try:
            self._take_added(run)
        except FileNotFoundError:
            del self._runs[run.folder.id]
        except RecordError as error:
            self._skip(run.folder.id, str(error))
        except OSError as error:
            self._skip(run.folder.id, error.strerror or str(error))
        run.quiet = run.quiet + 1 if before == (run.number, run.at) else 0

    def _skip(self, run: str, reason: str) -> None:
        self.skipped.append((run, reason))
        self._refused.add(run)
        self._runs.pop(run, None)

    def _take_added(self, run: _Followed) -> None:
        last, journal = run.last, run.folder.journal
        if last is None or segment_path(journal, last.number + 1).exists():
            for segment in segments(journal):
                if last is None or segment.number > last.number:
                    self._take_segment(run, segment)
                elif segment.number == last.number:
                    self._take_rest(run, segment)
        elif last.path.lstat().st_size > run.at:
            self._take_rest(run, last)

    def _take_segment(self, run: _Followed, segment: Segment) -> None:
        self._segments.append((run.folder.id, segment.path))
        run.last, run.number, run.at = segment, len(self._segments), len(segment.header)
        loaded = content_rows.load(segment, stamp_of(segment, segment.path.lstat()))
        if loaded is None:
            self._take_rest(run, segment)
        else:
            rows, run.at = loaded
            self._add(run, rows)

    def _take_rest(self, run: _Followed, segment: Segment) -> None:
        rows = ContentRows()
        try:
            run.at = content_rows.scan(segment, rows, run.at)
        finally:
            self._add(run, rows)

    def _add(self, run: _Followed, rows: ContentRows) -> None:
        # Runs are numbered as they come, so the greater number is the newer result.
        number = run.number << _PLACE_BITS
        self._table.add(rows.prefixes, (place + number for place in rows.places), at_most=len(rows.places))

    def _read(self, prefix: int, ck: str) -> Hit | None:
        place = self._table.find(prefix)
        if not place:
            return None
        place &= ~MADE
        run, path = self._segments[(place >> _PLACE_BITS) - 1]
        try:
            entry = self._reader.entry(path, place & ((1 << _PLACE_BITS) - 1))
        except RecordError as error:
            self._table.forget(prefix)
            if all(run != known for known, _ in self.skipped):
                self.skipped.append((run, str(error)))
            return None
        return Hit(run, entry) if entry.get("ck") == ck else None
