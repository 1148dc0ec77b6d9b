"""What one segment of the journal holds, folded: counts, and where each instance's entries are.

The writer keeps it while it writes, and leaves it beside each finished segment (``000001.index.json``). It is derived:
a reader trusts it only while the segment is the one that it describes, and else folds the segment itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from metis_flow.record import content_rows, lines
from metis_flow.record.content_rows import ContentRows
from metis_flow.record.files import open_plain, write_atomic
from metis_flow.record.segments import Segment
from metis_flow.record.usage import Usage

INDEX_VERSION = 2

# What a row stands for. The last row of an instance with a kind in FINAL says how the instance ended.
CALL, ANSWER, RETRIED, DONE, CACHED, FAILED, SKIPPED, WHOLE = "a", "n", "r", "d", "c", "f", "s", "w"
FINAL = frozenset((DONE, CACHED, FAILED, SKIPPED, WHOLE))

_NEEDED = {
    "call": ("step",),
    "answer": ("step",),
    "done": ("step",),
    "failed": ("step",),
    "skipped": ("step",),
    "step": ("step",),
    "stepdone": ("step", "status"),
    "outputs": ("outputs",),
    "end": ("status",),
}


def check_shape(entry: Mapping[str, Any]) -> None:
    """Refuse an entry that no reader could make sense of.

    Raises:
        ValueError: it lacks a field that its kind needs, or its key is neither text nor None.
    """
    missing = [name for name in ("e", *_NEEDED.get(entry.get("e", ""), ())) if name not in entry]
    if missing:
        raise ValueError(f"a journal entry lacks {', '.join(missing)}: {dict(entry)!r:.200}")
    if not isinstance(entry.get("key"), str | None):
        raise ValueError(f"a journal entry's key is text or None, not {entry['key']!r:.200}")


@dataclass
class StepRows:
    """One step's part of a segment.

    Attributes:
        items: how many items it has, once that is known.
        status: ``running``, or how it ended; None when this segment does not say.
        whole: whether it was skipped as a whole; None when this segment does not say.
        calls: chat completions that were answered, by whatever they were worth.
        keys: the keys of its instances (None: the only one) in the order of their first row here, with their numbers.
        addresses: those addresses that are not ``step@key``, by key.
        number, kind, at: the rows: a key's number, a kind, a place in bytes.
    """

    items: int | None = None
    status: str | None = None
    reason: str | None = None
    whole: bool | None = None
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    keys: dict[str | None, int] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    number: list[int] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)
    at: list[int] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[str | None, str, int]]:
        """Key, kind and place of each row, in the order of the file."""
        keys = list(self.keys)
        for number, kind, at in zip(self.number, self.kind, self.at, strict=True):
            yield keys[number], kind, at

    def as_json(self) -> dict[str, Any]:
        return {
            "items": self.items,
            "status": self.status,
            "reason": self.reason,
            "whole": self.whole,
            "calls": self.calls,
            "usage": self.usage.as_json(),
            "keys": list(self.keys),
            "addresses": self.addresses,
            "number": self.number,
            "kind": "".join(self.kind),
            "at": self.at,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> StepRows:
        keys = {key: number for number, key in enumerate(data["keys"])}
        return cls(**data | {"keys": keys, "kind": list(data["kind"]), "usage": Usage.of(data["usage"])})


@dataclass
class SegmentIndex:
    """One segment, folded.

    Attributes:
        end: how many bytes of the segment are folded in.
        first, last: unix seconds of the first and the last entry.
        begun, tick, ended: the last ``start``, ``tick`` and ``end`` entry; a ``start`` makes the other two forgotten.
        outputs: where the last ``outputs`` entry is, in bytes.
        content: results by content key. They have a file of their own, so that who only counts need not read them.
    """

    end: int = 0
    first: float | None = None
    last: float | None = None
    begun: dict[str, Any] | None = None
    tick: dict[str, Any] | None = None
    ended: dict[str, Any] | None = None
    outputs: int | None = None
    steps: dict[str, StepRows] = field(default_factory=dict)
    content: ContentRows = field(default_factory=ContentRows)

    def add(self, entry: dict[str, Any], at: int) -> None:
        """Fold in an entry that stands at this place, in bytes."""
        self.last = entry["t"]
        if self.first is None:
            self.first = entry["t"]
        kind = entry["e"]
        if kind in ("done", "answer", "call", "failed", "skipped"):
            self._add_row(kind, entry, at)
            self.content.add(entry, at)
        elif kind == "step":
            rows = self._rows_of(entry)
            rows.status, rows.reason, rows.whole = "running", None, False
            rows.items = entry.get("items") if entry.get("items") is not None else rows.items
        elif kind == "stepdone":
            rows = self._rows_of(entry)
            rows.status, rows.reason = entry["status"], entry.get("reason")
        elif kind == "tick":
            self.tick = entry
        elif kind == "start":
            self.begun, self.tick, self.ended = entry, None, None
        elif kind == "end":
            self.ended = entry
        elif kind == "outputs":
            self.outputs = at

    def _rows_of(self, entry: dict[str, Any]) -> StepRows:
        name = entry["step"]
        rows = self.steps.get(name)
        if rows is None:
            rows = self.steps[name] = StepRows()
        return rows

    def _add_row(self, name: str, entry: dict[str, Any], at: int) -> None:
        rows = self._rows_of(entry)
        kind = _row_kind(name, entry)
        key = entry.get("key")
        number = rows.keys.setdefault(key, len(rows.keys))
        rows.number.append(number)
        rows.kind.append(kind)
        rows.at.append(at)
        if kind in FINAL:
            rows.whole = kind == WHOLE
            address = entry.get("address")
            if key is not None and address is not None and address != f"{entry['step']}@{key}":
                rows.addresses[key] = address
        inside = entry.get("inside")  # what a workflow that was called has asked
        if inside is not None:
            rows.calls += inside["calls"]
            rows.usage += Usage.of(inside["usage"])
        call = entry if kind == CALL else entry.get("call") if kind != CACHED else None
        if call is not None:
            rows.calls += 1
            rows.usage += Usage.of(call.get("usage"))

    def as_json(self) -> dict[str, Any]:
        return {
            "end": self.end,
            "first": self.first,
            "last": self.last,
            "begun": self.begun,
            "tick": self.tick,
            "ended": self.ended,
            "outputs": self.outputs,
            "steps": {name: rows.as_json() for name, rows in self.steps.items()},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SegmentIndex:
        return cls(**data | {"steps": {name: StepRows.from_json(rows) for name, rows in data["steps"].items()}})


def _row_kind(name: str, entry: dict[str, Any]) -> str:
    if name == "done":
        return CACHED if entry.get("cached") else DONE
    if name in ("call", "answer"):
        return CALL if name == "call" else ANSWER
    if name == "failed":
        return FAILED if entry.get("final", True) else RETRIED
    return WHOLE if entry.get("whole") else SKIPPED


def fold(segment: Segment) -> SegmentIndex:
    """The index of a segment, from the segment itself.

    Raises:
        RecordError: it is damaged.
    """
    index = SegmentIndex(end=len(segment.header))
    for at, entry, end in segment.read():
        index.add(entry, at)
        index.end = end
    return index


def index_of(segment: Segment) -> SegmentIndex:
    """The index beside a segment if it is there and describes it, else folded from the segment."""
    return load(segment) or fold(segment)


def load(segment: Segment) -> SegmentIndex | None:
    """The index beside a segment; None when there is none, or the segment has changed since."""
    try:
        with open_plain(segment.index_file) as file:
            data = lines.decode(file.read(), 0)
    except (FileNotFoundError, ValueError):
        return None
    now = {"v": INDEX_VERSION, **stamp_of(segment, os.lstat(segment.path))}
    if {name: data.get(name) for name in now} != now:
        return None
    index = SegmentIndex.from_json(data["index"])
    return index if segment.end in (None, index.end) else None


def stamp_of(segment: Segment, status: os.stat_result) -> dict[str, Any]:
    """What tells this segment, as it is now, from any other; stands in what is derived from it."""
    return {"size": status.st_size, "mtime": status.st_mtime_ns, "header": segment.header.decode()}


def store(segment: Segment, index: SegmentIndex) -> None:
    """Leave what is derived beside a segment that nobody writes any more. For the owner of the run only."""
    descriptor = os.open(segment.path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        # A stated time, in whole seconds, is the same on every client of a parallel file system.
        second = int(time.time())
        os.utime(descriptor, (second, second))
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    stamp = stamp_of(segment, status)
    data = {"v": INDEX_VERSION, **stamp, "index": index.as_json()}
    write_atomic(segment.index_file, lines.sealed(lines.encode(data), 0), durable=False)
    content_rows.store(segment, index.content, stamp, index.end)
