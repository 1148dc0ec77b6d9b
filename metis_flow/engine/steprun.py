"""The state of one step while a run is going on. Only the scheduler's thread touches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from metis_flow.engine.kept import Backlog, Kept
from metis_flow.engine.progress import StepProgress
from metis_flow.engine.scope import Result, step_view
from metis_flow.errors import Cancelled
from metis_flow.plan.items import Item, Keys, address
from metis_flow.plan.plan import StepPlan
from metis_flow.plan.selection import Role
from metis_flow.record.journal import Written
from metis_flow.workflow.definition import StepDef
from metis_flow.workflow.functions import address_of

StepStatus = Literal["waiting", "open", "done", "failed", "skipped"]


@dataclass
class Instance:
    """One instance on its way through the engine.

    Attributes:
        upstream: how the instance ended that it follows, where its step goes item by item.
        attempt: the try that it is at, from 1.
        round: with ``until``, the round that it is at, from 0; previous: the output of the round before.
        entry: what its entries in the journal have in common.
        written: the entry that says how it ended, once there is one.
    """

    step: StepRun
    item: Item
    scope: Mapping[str, Any]
    upstream: Result | None = None
    attempt: int = 1
    round: int = 0
    previous: Any = None
    entry: dict[str, Any] = field(default_factory=dict)
    written: Written | None = None

    def is_called(self, step: str, word: str | None) -> bool:
        """Whether it is meant by ``step@word``, with a key or the short form of one; by ``step`` if word is None."""
        if self.step.name != step:
            return False
        return word is None or (self.item.key is not None and word in (self.item.key, address_of(self.item.key)))

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
        backlog: results that have come from the step that it follows.
        arriving: the one of these that is being turned into items, and the items that are left of it.
        keep: whether its results are needed later.
        kept: how the instances of a fan-out ended.
        only: how the one instance ended, where there is one only and something needs it later.
        after_failure: it was skipped because something above it failed.
        upstream_failed: something above it failed, and its ``if`` did not mind.
        error: why it failed as a whole.
        held: there is not enough time left for another instance.
        cancelled: keys, or short forms of them, of instances that the user took back; with None among them, all.
        cancel_error: what becomes of these.
    """

    plan: StepPlan
    progress: StepProgress
    keep: bool
    kept: Kept
    executor: str
    role: Role = "run"
    status: StepStatus = "waiting"
    base: dict[str, Any] = field(default_factory=dict)
    items: Iterator[Item] | None = None
    backlog: Backlog = field(default_factory=Backlog)
    arriving: tuple[Result, Iterator[Item]] | None = None
    only: Result | None = None
    keys: Keys | None = None
    in_flight: int = 0
    exhausted: bool = False
    after_failure: bool = False
    upstream_failed: bool = False
    skipped_by_failure: int = 0
    error: Mapping[str, Any] | None = None
    held: bool = False
    cancelled: set[str | None] = field(default_factory=set)
    cancel_error: Cancelled | None = None

    @property
    def name(self) -> str:
        """The step's name."""
        return self.plan.step.name

    @property
    def definition(self) -> StepDef:
        """The step as it was written."""
        return self.plan.step

    @property
    def keeps_messages(self) -> bool:
        """Whether the conversations that led to its results are needed later too."""
        return self.kept.messages

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.status in ("done", "failed", "skipped")

    @property
    def expected_seconds(self) -> float | None:
        """How long an instance takes: as long as those seen so far, else no longer than its ``timeout``."""
        return self.progress.median if self.progress.median is not None else self.definition.timeout

    def is_cancelled(self, instance: Instance) -> bool:
        """Whether the user took an instance back that has not begun."""
        return any(instance.is_called(self.name, word) for word in self.cancelled)

    def is_behind(self, most: int) -> bool:
        """Whether items pile up before it. A step that has not begun holds nobody up: what it waits for may be next."""
        return self.status == "open" and len(self.backlog) > most

    def view(self) -> dict[str, Any]:
        """``steps.<name>`` for those that refer to it."""
        if self.definition.is_fan_out:
            return self.kept.view(self.definition, self.status, self.error)
        return step_view(self.definition, self.status, [] if self.only is None else [self.only], self.error)

    def keep_result(self, instance: Instance, result: Result) -> None:
        """An instance has ended."""
        if self.definition.is_fan_out:
            self.kept.add(result, instance.written)
        elif self.keep:
            self.only = result

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
