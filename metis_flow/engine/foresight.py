"""What a run would do: which results it would take from earlier runs, what it would run, and why.

The scheduler itself decides, with nothing to run on: an instance whose result is not there yet is left, and what
depends on it cannot be known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

from metis_flow.engine.answerer import Answerer
from metis_flow.engine.budget import Budget
from metis_flow.engine.flights import Flight, Flights
from metis_flow.engine.options import RunOptions
from metis_flow.engine.outcome import Outcome
from metis_flow.engine.prepare import Prepared, Preparer
from metis_flow.engine.progress import new_progress
from metis_flow.engine.reuse import Found, Reuse
from metis_flow.engine.scheduler import Scheduler
from metis_flow.engine.scope import Result
from metis_flow.engine.steprun import Instance, StepRun
from metis_flow.plan.items import Item
from metis_flow.plan.plan import Plan
from metis_flow.record.folder import RunFolder
from metis_flow.workflow.definition import Resources, StepDef
from metis_flow.workflow.models import Limits

MOST_INSTANCES = 20_000
"""Instances that are looked at; a plan of more says that it did not look at all."""

Action = Literal["run", "cached", "kept", "skip", "fail"]


@dataclass(frozen=True)
class Foreseen:
    """What would become of one instance.

    Attributes:
        action: it runs; its result is that of an earlier run, or of this one; it is skipped; it fails at once.
        run: the earlier run that made the result.
        parts: of the content key, where it would run.
        own_only: why no other run's result may be used.
        reason: why it is skipped or fails.
    """

    key: str | None
    address: str
    action: Action
    run: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    own_only: str | None = None
    reason: str | None = None


@dataclass
class StepForesight:
    """What would become of a step.

    Attributes:
        instances: those that can be known.
        complete: whether that is all of them.
    """

    instances: list[Foreseen] = field(default_factory=list)
    complete: bool = False

    def count(self) -> Counter[str]:
        """Instances by what would become of them."""
        return Counter(instance.action for instance in self.instances)


@dataclass(frozen=True)
class Foresight:
    """What would become of every step, in the plan's order.

    Attributes:
        cut: whether there are more instances than are looked at.
    """

    steps: Mapping[str, StepForesight]
    cut: bool


def foresee(
    plan: Plan, options: RunOptions, answerer: Answerer | None, reuse: Reuse, *, most: int = MOST_INSTANCES
) -> Foresight:
    """Think a run through.

    Args:
        reuse: the results that it would find.
        most: instances to look at.
    """
    seer = _Seer(plan, options, answerer, reuse, most)
    seer.run()
    return Foresight(seer.seen, seer.cut)


class _Seer(Scheduler):
    def __init__(self, plan: Plan, options: RunOptions, answerer: Answerer | None, reuse: Reuse, most: int) -> None:
        self.seen = {name: StepForesight() for name in plan.steps}
        self.cut = False
        self._most = most
        self._unsure: set[str] = set()
        preparer = Preparer(
            plan,
            RunFolder(options.runs_dir / "none"),
            _Nowhere(),
            None,
            default_model=answerer.default_model if answerer is not None else None,
            forced_model=answerer.forced_model if answerer is not None else None,
        )
        progress, budget = new_progress(plan, ""), Budget(Limits())
        super().__init__(
            plan, "", _Nowhere(), preparer, _Nowhere(), reuse, progress, budget, selection=options.selection
        )

    def _make_flights(self, budget: Budget) -> Flights:
        return _Seen(self, self._apps, self._preparer, self._journal, self.progress, budget)

    def run(self) -> None:
        """Go on as long as something follows from what is known."""
        self._advance()
        while not self._queue.empty() and not self.cut:
            self._call_posted()
            self._advance()
        for name, step in self.steps.items():
            self.seen[name].complete = step.is_closed or (step.exhausted and not self.cut)

    def note(self, instance: Instance, seen: Foreseen) -> None:
        """An instance's fate is known."""
        self.seen[instance.step.name].instances.append(seen)
        self._most -= 1
        self.cut = self.abandoned = self._most <= 0

    def unsure(self, instance: Instance) -> None:
        """What comes of an instance can be known only once it has run."""
        self._unsure.add(instance.step.name)
        self.leave(instance)

    def _next(self, step: StepRun) -> tuple[Item, Result | None] | None:
        return None if self.cut else super()._next(step)

    def _is_through(self, step: StepRun) -> bool:
        return step.name not in self._unsure and super()._is_through(step)


class _Seen(Flights):
    """Writes down what would be done, instead of doing it."""

    _control: _Seer

    def launch(self, instance: Instance, prepared: Prepared) -> None:
        seen = Foreseen(
            instance.item.key, instance.address, "run", parts=prepared.content.parts, own_only=prepared.own_only
        )
        self._control.note(instance, seen)
        self._control.unsure(instance)

    def take(self, instance: Instance, found: Found) -> None:
        run = found.run or (found.entry.get("cached") or {}).get("run")
        action: Action = "kept" if found.run is None else "cached"
        self._control.note(instance, Foreseen(instance.item.key, instance.address, action, run=run))
        super().take(instance, found)

    def skip(self, instance: Instance, reason: str) -> None:
        self._control.note(instance, Foreseen(instance.item.key, instance.address, "skip", reason=reason))
        super().skip(instance, reason)

    def end(self, instance: Instance, outcome: Outcome, flight: Flight | None = None) -> None:
        reason = outcome.error.summary if outcome.error is not None else None
        self._control.note(instance, Foreseen(instance.item.key, instance.address, "fail", reason=reason))
        super().end(instance, outcome, flight)


class _Nowhere:
    """Neither a journal nor executors."""

    folder = None

    def append(self, entry: Mapping[str, Any], on_durable: Callable[[], None] | None = None) -> None:
        if on_durable is not None:
            on_durable()

    def executor_for(self, step: StepDef) -> str:
        return step.verb

    def flush(self) -> None:
        pass

    def window(self, executor: str) -> int:
        return 64

    def submit(self, executor: str, payload: Any, resources: Resources | None = None) -> Future[Outcome]:
        raise AssertionError("a run that is only thought of submits nothing")

    def end(self, payload: Any) -> None:
        raise AssertionError("a run that is only thought of has nothing to end")
