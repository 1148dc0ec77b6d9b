"""How far a run is, at one moment: from its driver's counts, or from the record that another shell reads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metis_flow.engine.progress import Progress
    from metis_flow.record.state import RunState, StepCounts

ENDED = ("done", "failed", "skipped", "stopped")
"""Statuses of steps."""
GOING_ON = ("running", "submitted")
"""Statuses of runs."""


@dataclass(frozen=True)
class StepSnapshot:
    """One step.

    Attributes:
        status: ``waiting``, ``open``, ``done``, ``failed``, ``skipped``, or ``stopped`` if the run ended during it.
        total: instances in all; None while nobody knows.
        done: includes those from the cache.
        reason: why it ended so; waiting: why it waits or is held up.
        median: seconds that an instance takes.
    """

    name: str
    status: str = "waiting"
    total: int | None = None
    done: int = 0
    failed: int = 0
    skipped: int = 0
    cached: int = 0
    running: int = 0
    retrying: int = 0
    reason: str | None = None
    waiting: str | None = None
    median: float | None = None

    @property
    def ended(self) -> int:
        """Instances that have ended, one way or another."""
        return self.done + self.failed + self.skipped


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment.

    Attributes:
        status: as in `RunState`; ``running`` while its driver has not ended it.
        seconds: since it began.
        steps: in graph order.
        tick: what else is known of it while it goes on; see `Progress.told`. Empty where nobody told.
        notes: the last lines for the user, oldest first; noted: how many there were in all.
        now: unix seconds of this moment.
    """

    run: str
    status: str
    seconds: float
    steps: tuple[StepSnapshot, ...]
    calls: int = 0
    tokens: int = 0
    tick: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    noted: int = 0
    now: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.status not in GOING_ON


def snapshot_of_progress(progress: Progress) -> Snapshot:
    """The moment as the run's own process sees it."""
    steps = tuple(
        StepSnapshot(
            name=step.name,
            status=step.status,
            total=step.total,
            done=step.done,
            failed=step.failed,
            skipped=step.skipped,
            cached=step.cached,
            running=step.running,
            retrying=step.retrying,
            reason=step.reason,
            waiting=step.waiting,
            median=step.median,
        )
        for step in tuple(progress.steps.values())
    )
    notes = tuple(progress.notes)
    return Snapshot(
        run=progress.run,
        status="running",
        seconds=progress.seconds,
        steps=steps,
        calls=progress.calls,
        tokens=progress.usage.total_tokens,
        tick=progress.told(),
        notes=notes,
        noted=len(notes),
        now=progress.clock(),
    )


def snapshot_of_state(state: RunState, now: float | None = None) -> Snapshot:
    """The moment as the record has it; what only the driver knows is some seconds old.

    Args:
        now: unix seconds.
    """
    now = time.time() if now is None else now
    told = state.tick.get("steps") or {}
    names = [*told, *(name for name in state.steps if name not in told)]
    running = state.status == "running"
    return Snapshot(
        run=state.id,
        status=state.status,
        seconds=max(0.0, now - state.started) if running and state.started is not None else state.seconds,
        steps=tuple(_step(name, state.steps.get(name), state.tick) for name in names),
        calls=state.calls,
        tokens=state.usage.total_tokens,
        tick=state.tick,
        notes=tuple(state.tick.get("notes") or ()),
        noted=state.tick.get("noted") or 0,
        now=now,
    )


def _step(name: str, counts: StepCounts | None, tick: Mapping[str, Any]) -> StepSnapshot:
    told = (tick.get("steps") or {}).get(name) or {}
    waiting = (tick.get("waiting") or {}).get(name)
    if counts is None:  # nothing of it is in the journal yet
        return StepSnapshot(name, total=told.get("total"), waiting=waiting)
    return StepSnapshot(
        name=name,
        status="open" if counts.status == "running" else counts.status,
        total=counts.items if counts.items is not None else told.get("total"),
        done=counts.done,
        failed=counts.failed,
        skipped=counts.skipped,
        cached=counts.cached,
        running=counts.running,
        retrying=(tick.get("retrying") or {}).get(name, 0),
        reason=counts.reason,
        waiting=waiting,
        median=told.get("median"),
    )
