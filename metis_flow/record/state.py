"""What a run's record says about it: for `status`, `show`, and the result of a run."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from metis_flow.record.entry_reader import EntryReader
from metis_flow.record.files import open_plain
from metis_flow.record.folder import RunFolder
from metis_flow.record.index import CACHED, DONE, FAILED, SKIPPED, SegmentIndex, index_of
from metis_flow.record.jobs import SentJob, sent_jobs
from metis_flow.record.last_entries import StepEnds, joined, last_entries, split
from metis_flow.record.ownership import holder_of
from metis_flow.record.segments import Segment, segments
from metis_flow.record.usage import Usage

_GREATEST = (1 << 64) - 1


@dataclass
class StepCounts:
    """How far a step is, in instances.

    Attributes:
        done: includes those from the cache.
        running: as the driver last told; 0 unless the run is going on.
        items: how many there will be; None while that is not known.
        status: ``running``, ``done``, ``failed``, ``skipped``, or ``stopped`` if the run ended during it.
        reason: why it ended so, if there is something to say.
    """

    done: int = 0
    failed: int = 0
    skipped: int = 0
    cached: int = 0
    running: int = 0
    items: int | None = None
    status: str = "running"
    reason: str | None = None


@dataclass
class _Step:
    counts: StepCounts = field(default_factory=StepCounts)
    ends: StepEnds = field(default_factory=StepEnds)


@dataclass
class RunState:
    """A run at a glance; counts and totals only, so that its size does not grow with the outputs of instances.

    Attributes:
        status: ``running``, ``done``, ``failed``, ``stopped``, ``paused``, ``submitted`` (a job that
            was sent will drive it), or ``died`` (it has no end, and nobody drives it).
        calls: chat completions that this run paid for.
        cached: instances whose result came from an earlier run.
        seconds: from the first journal entry to the last.
        started, ended: unix seconds; `ended` is None while the run has no end.
        outputs: of the workflow; None until they are known.
        missing: why an output is null, by its name.
        reason, hint: why it ended so, and what to do then, if there is something to say.
        host, pid, generation: of the driver, the last one if there were several.
        tick: what the driver last told, as it stands in the journal. Empty unless running.
        waiting: why steps wait, by step; limiter: places and rates; both out of the tick.
    """

    id: str
    name: str
    path: str
    status: str = "died"
    steps: dict[str, StepCounts] = field(default_factory=dict)
    calls: int = 0
    cached: int = 0
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    started: float | None = None
    ended: float | None = None
    outputs: dict[str, Any] | None = None
    missing: dict[str, str] = field(default_factory=dict)
    exit_code: int | None = None
    reason: str | None = None
    hint: str | None = None
    host: str | None = None
    pid: int | None = None
    generation: int | None = None
    tick: dict[str, Any] = field(default_factory=dict)
    waiting: dict[str, Any] = field(default_factory=dict)
    limiter: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: RunFolder, *, clock: Callable[[], float] = time.time) -> RunState:
        """Fold the journal of a run, whether it is going on or not.

        Args:
            clock: gives unix seconds, to tell a silent driver from a live one.

        Raises:
            RecordError: the record is damaged; the text names file and line.
        """
        # Before the journal: a driver that ends in between leaves its end there, not a run that seems dead.
        holder = holder_of(folder)
        alive = holder is not None and not holder.gone(clock())
        state = cls(folder.id, folder.name, str(folder.path))
        fold = _Fold()
        for segment in segments(folder.journal):
            fold.add(segment, index_of(segment))
        fold.settle(state, alive=alive)
        later = holder_of(folder) if state.status == "died" else None
        if later is not None and (holder is None or later.generation > holder.generation):
            return cls.read(folder, clock=clock)  # a driver began in between
        state._await_job(sent_jobs(folder))
        return state

    def _await_job(self, sent: Sequence[SentJob]) -> None:
        """A job that was sent after all that the journal holds will drive the run."""
        last = (self.started or 0.0) + self.seconds
        if self.status in ("died", "stopped", "paused") and sent and sent[-1].t > last:
            self.status, self.reason, self.hint = "submitted", f"job {sent[-1].id} drives it", None
            self.ended = self.exit_code = None

    def as_json(self) -> dict[str, Any]:
        """The document that `run --json` prints."""
        return {
            "run": self.id,
            "status": self.status,
            "outputs": self.outputs or {},
            "steps": {
                name: {
                    "done": counts.done,
                    "failed": counts.failed,
                    "skipped": counts.skipped,
                    "cached": counts.cached,
                }
                for name, counts in self.steps.items()
            },
            "calls": self.calls,
            "cached": self.cached,
            "usage": self.usage.as_json(),
            "seconds": round(self.seconds, 3),
            "record": self.path,
        }


class _Fold:
    """Segments, folded one after the other."""

    def __init__(self) -> None:
        self.steps: dict[str, _Step] = {}
        self.calls = 0
        self.usage = Usage()
        self.first: float | None = None
        self.last: float | None = None
        self.begun: dict[str, Any] = {}
        self.tick: dict[str, Any] = {}
        self.ended: dict[str, Any] | None = None
        self.outputs: tuple[Segment, int] | None = None

    def add(self, segment: Segment, index: SegmentIndex) -> None:
        self.first = index.first if self.first is None else self.first
        self.last = index.last if index.last is not None else self.last
        if index.begun is not None:
            self.begun, self.tick, self.ended = index.begun, {}, None
        self.tick = index.tick or self.tick
        self.ended = index.ended or self.ended
        if index.outputs is not None:
            self.outputs = segment, index.outputs
        for name, rows in index.steps.items():
            step = self.steps.setdefault(name, _Step())
            step.counts.items = rows.items if rows.items is not None else step.counts.items
            if rows.status is not None:
                step.counts.status, step.counts.reason = rows.status, rows.reason
            step.ends.add(rows, segment.number - 1)
            self.calls += rows.calls
            self.usage += rows.usage

    def settle(self, state: RunState, *, alive: bool) -> None:
        """Put into the state what all segments together say."""
        state.calls, state.usage = self.calls, self.usage
        state.started = self.first
        last = self.last if self.ended is None else self.ended["t"]  # what comes after the end is no part of it
        state.seconds = (last or 0.0) - (self.first or 0.0)
        state.host, state.pid = self.begun.get("host"), self.begun.get("pid")
        state.generation = self.begun.get("generation")
        if self.ended is not None:
            state.status, state.ended = self.ended["status"], self.ended["t"]
            state.exit_code = self.ended.get("exit")
            state.reason, state.hint = self.ended.get("reason"), self.ended.get("hint")
        elif alive:
            state.status, state.tick = "running", self.tick
            state.waiting, state.limiter = self.tick.get("waiting") or {}, self.tick.get("limiter") or {}
        running = state.tick.get("running") or {}
        for name, step in self.steps.items():
            state.steps[name] = _counted(step)
            state.steps[name].running = running.get(name, 0)
            if step.counts.status == "running" and state.status != "running":
                step.counts.status = "stopped"
        state.cached = sum(counts.cached for counts in state.steps.values())
        if self.outputs is not None:
            segment, at = self.outputs
            with open_plain(segment.path) as file:
                entry = segment.entry_at(file, at)
            state.outputs, state.missing = entry["outputs"], entry.get("missing") or {}


def _counted(step: _Step) -> StepCounts:
    counts = step.counts
    if step.ends.whole:
        counts.skipped = 1
        return counts
    kinds = step.ends.count()
    counts.cached = kinds[CACHED]
    counts.done = kinds[DONE] + counts.cached
    counts.failed = kinds[FAILED]
    counts.skipped = kinds[SKIPPED]
    return counts


def read_in_order(folder: RunFolder, step: str) -> Iterator[dict[str, Any]]:
    """How each instance of a step ended, in the order of the items; raises as `read_instances` does.

    The journal is read twice, so that memory does not grow with the outputs.
    """
    parts = segments(folder.journal)
    ends = last_entries(map(index_of, parts), step)
    indexes, places = array("Q"), array("Q")
    with closing(EntryReader()) as reader:
        for position, segment in enumerate(parts):
            for at, (_, key) in _rows_in_order(index_of(segment), ends, None):
                found = ends[step].find(key)
                if found is not None and found[1] == joined(position, at):
                    indexes.append(min(reader.entry(segment.path, at).get("index") or 0, _GREATEST))
                    places.append(found[1])
        for number in sorted(range(len(places)), key=indexes.__getitem__):
            position, at = split(places[number])
            yield reader.entry(parts[position].path, at)


def read_instances(
    folder: RunFolder, step: str | None = None, key_or_address: str | None = None
) -> Iterator[dict[str, Any]]:
    """How each instance ended: its last ``done``, ``failed`` or ``skipped`` entry, in the journal's order.

    Earlier entries of the instance (answers that failed validation, attempts that failed, an end that a later run of
    it replaced) are under ``tries``, oldest first.

    Args:
        step: only this step.
        key_or_address: only the instance with this key, this address (``step@…``) or this part after its ``@``.

    Raises:
        RecordError: the record is damaged; the text names the file and the place.
    """
    parts = segments(folder.journal)
    ends = last_entries(map(index_of, parts), step)
    meant = None if key_or_address is None else _called(parts, step, key_or_address)
    tries: dict[tuple[str, str | None], list[int]] = {}
    with closing(EntryReader()) as reader:
        for position, segment in enumerate(parts):
            for at, instance in _rows_in_order(index_of(segment), ends, meant):
                found, place = ends[instance[0]].find(instance[1]), joined(position, at)
                if found is None or place > found[1]:
                    continue
                if place < found[1]:
                    tries.setdefault(instance, []).append(place)
                    continue
                entry = reader.entry(segment.path, at)
                earlier = map(split, tries.pop(instance, ()))
                entry["tries"] = [reader.entry(parts[number].path, begin) for number, begin in earlier]
                yield entry


_Instance = tuple[str, str | None]


def _rows_in_order(
    index: SegmentIndex, steps: Container[str], meant: Container[_Instance] | None
) -> list[tuple[int, _Instance]]:
    """The place and the instance of each row of a segment that is about instances that are meant; None for all."""
    found = ((at, (name, key)) for name, rows in index.steps.items() if name in steps for key, _, at in rows.rows())
    return sorted(row for row in found if meant is None or row[1] in meant)


def _called(parts: Iterable[Segment], step: str | None, wanted: str) -> set[_Instance]:
    """The instances that a word means: by their key, their address or what stands in that after the ``@``."""
    return {
        (name, key)
        for index in map(index_of, parts)
        for name, rows in index.steps.items()
        if step is None or name == step
        for key in rows.keys
        if _is_called((name, key), rows.addresses.get(key or ""), wanted)
    }


def _is_called(instance: _Instance, address: str | None, wanted: str) -> bool:
    step, key = instance
    if key is None:
        return wanted == step
    plain = address or f"{step}@{key}"
    return wanted in (key, plain, plain[len(step) + 1 :])
