"""The state of one step while a run is going on. Only the scheduler's thread touches it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from metis_flow.engine.progress import StepProgress
from metis_flow.engine.scope import Result, step_view
from metis_flow.plan.items import Item, Keys, address
from metis_flow.plan.plan import StepPlan
from metis_flow.workflow.definition import StepDef

StepStatus = Literal["waiting", "open", "done", "failed", "skipped"]


@dataclass
class Instance:
    """One instance on its way through the engine.

    Attributes:
        upstream: how the instance ended that it follows, where its step goes item by item.
    """

    step: StepRun
    item: Item
    scope: Mapping[str, Any]
    upstream: Result | None = None
    attempt: int = 1
    entry: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """``step`` or ``step@key``."""
        return address(self.step.name, self.item.key)


@dataclass
class StepRun:
    """One step.

    Attributes:
        base: the scope that all its instances share, once it is open.
        items: what ``foreach`` gave, as an iterator; None where items come one by one from another step.
        backlog: items that have come from the step that it follows.
        kept: how instances ended, where something needs them later.
        after_failure: it was skipped because something above it failed.
        upstream_failed: something above it failed, and its ``if`` did not mind.
        error: why it failed as a whole.
    """

    plan: StepPlan
    progress: StepProgress
    keep: bool
    status: StepStatus = "waiting"
    base: dict[str, Any] = field(default_factory=dict)
    items: Iterator[Item] | None = None
    backlog: deque[Result] = field(default_factory=deque)
    kept: list[Result] = field(default_factory=list)
    keys: Keys | None = None
    in_flight: int = 0
    exhausted: bool = False
    after_failure: bool = False
    upstream_failed: bool = False
    skipped_by_failure: int = 0
    error: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """The step's name."""
        return self.plan.step.name

    @property
    def definition(self) -> StepDef:
        """The step as it was written."""
        return self.plan.step

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.status in ("done", "failed", "skipped")

    def is_behind(self, most: int) -> bool:
        """Whether items pile up before it. A step that has not begun holds nobody up: what it waits for may be next."""
        return self.status == "open" and len(self.backlog) > most

    def view(self) -> dict[str, Any]:
        """``steps.<name>`` for those that refer to it."""
        return step_view(self.definition, self.status, self.kept, self.error)

    def verdict(self) -> tuple[StepStatus, str | None]:
        """How the step ended, once all its instances have: its status, and why."""
        counts, definition = self.progress, self.definition
        tried = counts.done + counts.failed
        if counts.failed and counts.done == 0:
            return "failed", f"none of {tried} succeeded" if definition.is_fan_out else "it failed"
        if counts.failed and not definition.continues:
            return "failed", f"{counts.failed} of {tried} failed"
        if tried and counts.done < definition.min_success * tried:
            share = counts.done / tried
            return "failed", f"{share:.0%} succeeded, and min_success is {definition.min_success:.0%}"
        if self.upstream_failed:
            return "failed" if definition.is_fan_out else "skipped", "a step above it failed"
        if counts.skipped and not tried and not definition.is_fan_out:
            return "skipped", None
        return "done", None
