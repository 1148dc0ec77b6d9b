"""How far a run is, as numbers that a view can read at any moment."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from metis_flow.engine.time_left import Seen, Source, time_left
from metis_flow.inference.limiter import LimiterSnapshot
from metis_flow.plan.plan import Plan
from metis_flow.record.usage import Usage

LAST_TIMES = 99
LAST_FAILURES = 5
LAST_NOTES = 3
RATE_SECONDS = 60.0
MOST_OF_A_SUMMARY = 300
"""Characters: what is told again every few seconds stays small, whatever a script wrote."""


@dataclass
class StepProgress:
    """One step's counts.

    ``total`` is None while nobody knows it, and ``uncut`` what it would be without ``--limit``, where that cut it;
    ``done`` includes ``cached``.

    Attributes:
        waiting: why it waits or is held up, as in ``steps.extract``; None where it is not.
        retrying: instances that wait for their next attempt.
        made: instances that ended by being run, well or not; what the cache or an earlier part of the run gave is
            not among them.
        after: the steps that it waits for.
    """

    name: str
    verb: str
    total: int | None = None
    uncut: int | None = None
    done: int = 0
    failed: int = 0
    skipped: int = 0
    cached: int = 0
    running: int = 0
    status: str = "waiting"
    reason: str | None = None
    waiting: str | None = None
    retrying: int = 0
    made: int = 0
    after: tuple[Source, ...] = ()
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=LAST_TIMES), repr=False)

    def took(self, seconds: float) -> None:
        """An instance was run (not taken from the cache) and is done, after so many seconds."""
        self.made += 1
        self._times.append(seconds)

    @property
    def median(self) -> float | None:
        """Seconds that half of the last instances needed at most; None before the first."""
        times = sorted(self._times)
        return times[len(times) // 2] if times else None

    @property
    def ended(self) -> int:
        """Instances that have ended, one way or another."""
        return self.done + self.failed + self.skipped


@dataclass(frozen=True)
class _Sample:
    """What had been counted at a moment."""

    at: float
    calls: int
    tokens: int
    made: Mapping[str, int]


@dataclass
class Progress:
    """A run's counts. Written by the scheduler's thread only.

    Attributes:
        calls: answers received, those that had to be repaired included.
        limiter: how the limiter of calls stands; None where there are no calls.
        notes: lines for the user, oldest first.
        stopping: why nothing more is started, once that is so.
        retries: attempts that were followed by another one, by the kind of what went wrong. Calls that were sent
            again within one attempt are counted by the limiter.
        failures: address and summary of the last that failed, oldest first.
        deadline: unix seconds by which the run must have ended, where there is such a time.
        clock: gives unix seconds.
    """

    run: str
    steps: dict[str, StepProgress]
    started: float = field(default_factory=time.time)
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    limiter: Callable[[], LimiterSnapshot | None] = lambda: None
    notes: list[str] = field(default_factory=list)
    stopping: str | None = None
    finished: bool = False
    retries: dict[str, int] = field(default_factory=dict)
    failures: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=LAST_FAILURES))
    deadline: float | None = None
    clock: Callable[[], float] = time.time
    _samples: deque[_Sample] = field(default_factory=deque, repr=False)

    def __post_init__(self) -> None:
        self._samples.append(self._sample(self.started))

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    def retried(self, kind: str) -> None:
        """An attempt failed in this way, and another one follows."""
        self.retries[kind] = self.retries.get(kind, 0) + 1

    def failed(self, address: str, summary: str) -> None:
        """An instance was run and failed for good.

        Args:
            address: ``step`` or ``step@key``.
        """
        self.steps[address.partition("@")[0]].made += 1
        self.failures.append((address, summary[:MOST_OF_A_SUMMARY]))

    def tick(self) -> dict[str, Any]:
        """The journal's ``tick`` entry: what somebody who follows the run from elsewhere needs besides the counts.

        To be called every few seconds, by the scheduler's thread: what has been counted by then is kept for a minute,
        and rates are taken from that.
        """
        now = self._sample(self.clock())
        self._samples.append(now)
        while len(self._samples) > 2 and self._samples[1].at <= now.at - RATE_SECONDS:
            self._samples.popleft()
        return {"e": "tick", **self.told()}

    def told(self) -> dict[str, Any]:
        """What `tick` says, at this moment. Safe from any thread.

        Returns:
            ``running``, ``waiting`` and ``retrying`` by step; ``steps`` in graph order, each with ``verb``, ``total``
            and ``median`` (seconds); ``limiter``, the fields of a `LimiterSnapshot`; ``rates``, ``calls`` a second and
            ``tokens`` a minute over the last minute; ``retries`` by kind; ``failures``, pairs of address and summary;
            ``left``, seconds to the end as far as it can be told, and ``unknown``, the steps it says nothing of;
            ``deadline``, in unix seconds; ``stopping``, the reason; ``notes``, the last lines for the user, and
            ``noted``, how many there were.
        """
        now, steps = self._sample(self.clock()), tuple(self.steps.values())
        before = self._samples[0]
        seconds = max(now.at - before.at, 0.001)
        snapshot = self.limiter()
        seen = {
            step.name: _seen(step, (now.made[step.name] - before.made.get(step.name, 0)) / seconds) for step in steps
        }
        left, unknown = time_left(seen)
        retries = Counter(self.retries) + Counter(snapshot.retries if snapshot is not None else {})
        return {
            "running": {step.name: step.running for step in steps if step.running},
            "waiting": {step.name: step.waiting for step in steps if step.waiting},
            "retrying": {step.name: step.retrying for step in steps if step.retrying},
            "steps": {step.name: {"verb": step.verb, "total": step.total, "median": step.median} for step in steps},
            "limiter": asdict(snapshot) if snapshot is not None else {},
            "rates": {
                "calls": round((now.calls - before.calls) / seconds, 3),
                "tokens": round((now.tokens - before.tokens) / seconds * 60),
            },
            "retries": dict(retries),
            "failures": [list(failure) for failure in tuple(self.failures)],
            "left": left,
            "unknown": unknown,
            "deadline": self.deadline,
            "stopping": self.stopping,
            "notes": [note[:MOST_OF_A_SUMMARY] for note in self.notes[-LAST_NOTES:]],
            "noted": len(self.notes),
        }

    def _sample(self, at: float) -> _Sample:
        made = {step.name: step.made for step in tuple(self.steps.values())}
        return _Sample(at, self.calls, self.usage.total_tokens, made)


def _seen(step: StepProgress, per_second: float) -> Seen:
    open_ = step.status not in ("done", "failed", "skipped")
    remaining = 0 if not open_ else None if step.total is None else max(0, step.total - step.ended)
    return Seen(step.after, remaining, per_second, step.median, step.running)


def new_progress(plan: Plan, run_id: str) -> Progress:
    """Counts at zero for every step of a plan."""
    steps = {}
    for name, step in plan.steps.items():
        after = tuple((edge.source, edge.kind == "item") for edge in plan.graph.into(name))
        steps[name] = StepProgress(name, step.step.verb, total=step.instances, after=after)
    return Progress(run=run_id, steps=steps)
