"""How far a run is, as numbers that a view can read at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from metis_flow.inference.limiter import LimiterSnapshot
from metis_flow.plan.plan import Plan
from metis_flow.record.usage import Usage


@dataclass
class StepProgress:
    """One step's counts.

    ``total`` is None while nobody knows it, and ``uncut`` what it would be without ``--limit``, where that cut it;
    ``done`` includes ``cached``.
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


@dataclass
class Progress:
    """A run's counts. Written by the scheduler's thread only.

    Attributes:
        calls: answers received, those that had to be repaired included.
        limiter: how the limiter of calls stands; None where there are no calls.
        notes: lines for the user, oldest first.
        stopping: why nothing more is started, once that is so.
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

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.time() - self.started


def new_progress(plan: Plan, run_id: str) -> Progress:
    """Counts at zero for every step of a plan."""
    steps = {name: StepProgress(name, step.step.verb, total=step.instances) for name, step in plan.steps.items()}
    return Progress(run=run_id, steps=steps)
