"""What a run would take from earlier runs, what it would run, and why: as a table, and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, TextIO

from metis_flow.engine import answerer as answerers
from metis_flow.engine.changes import Changes
from metis_flow.engine.foresight import MOST_INSTANCES, Foreseen, Foresight, StepForesight, foresee
from metis_flow.engine.options import RunOptions
from metis_flow.engine.reuse import results_for
from metis_flow.engine.run import check_choices
from metis_flow.errors import ConfigError
from metis_flow.plan.plan import Plan
from metis_flow.record.latest import Comparable, latest_of
from metis_flow.views.tables import Column, print_table

LISTED = 4

_STEPS = (
    Column("step"),
    Column("cached", right=True),
    Column("to run", right=True),
    Column("why", gives_way=True),
)
_INSTANCES = (Column("instance"), Column("what"), Column("why", gives_way=True))


@dataclass(frozen=True)
class Outlook:
    """What would become of a run.

    Attributes:
        why: for each step, what to say of each of its instances.
        remark: why there is less to say than one might wish.
    """

    foresight: Foresight
    why: dict[str, list[str]]
    remark: str | None

    def print(self, out: TextIO, *, instances: bool) -> None:
        """A row for each step, or for each instance."""
        out.write("\n")
        if instances:
            rows: list[tuple[object, ...]] = [
                (seen.address, _WORDS[seen.action], why)
                for name, step in self.foresight.steps.items()
                for seen, why in zip(step.instances, self.why[name], strict=True)
            ]
            print_table(_INSTANCES, rows, out)
        else:
            print_table(_STEPS, [self._row(name, step) for name, step in self.foresight.steps.items()], out)
        if self.remark is not None:
            out.write(f"\n{self.remark}\n")

    def as_json(self) -> dict[str, Any]:
        """For each step, its instances, each with what would become of it and why."""
        return {
            name: {
                "complete": step.complete,
                "instances": [
                    {"address": seen.address, "key": seen.key, "action": seen.action, "run": seen.run, "why": why}
                    for seen, why in zip(step.instances, self.why[name], strict=True)
                ],
            }
            for name, step in self.foresight.steps.items()
        }

    def _row(self, name: str, step: StepForesight) -> tuple[object, ...]:
        counts = step.count()
        running = counts["run"] + counts["fail"]
        to_run = f"{running:,}" if step.complete or not step.instances else f"{running:,} or more"
        if not step.complete and not step.instances:
            return name, "", "?", "what runs before it decides"
        whys = Counter(self.why[name])
        shown = [f"{why} ({count:,})" if len(whys) > 1 else why for why, count in whys.most_common(LISTED)]
        more = [f"and {len(whys) - LISTED} more reasons"] if len(whys) > LISTED else []
        rest = [] if step.complete else ["the rest depends on what runs before it"]
        return name, f"{counts['cached']:,}", to_run, "; ".join(shown + more + rest)


_WORDS = {"run": "runs", "cached": "cached", "kept": "kept", "skip": "skipped", "fail": "fails"}


def look_ahead(plan: Plan, options: RunOptions) -> Outlook:
    """Think a run through.

    Raises:
        UsageError: a step that was named is not there.
    """
    check_choices(plan, options)
    remark = None
    try:
        answerer = answerers.choose(plan, options.endpoint)
    except ConfigError as error:
        answerer, remark = None, f"{error.summary}: what chat steps would take from earlier runs is not known"
    foresight = foresee(plan, options, answerer, results_for(plan, options, None))
    if foresight.cut:
        remark = f"only the first {MOST_INSTANCES:,} instances were looked at"
    changes, before = Changes(plan.workflow), latest_of(options.runs_dir, plan.workflow.name)
    why = {
        name: [_why(name, seen, changes, before, options) for seen in step.instances]
        for name, step in foresight.steps.items()
    }
    return Outlook(foresight, why, remark)


def _why(step: str, seen: Foreseen, changes: Changes, before: Comparable, options: RunOptions) -> str:
    if seen.action == "cached":
        return f"cached from {seen.run}"
    if seen.action == "run":
        return changes.why(step, seen, before, forced=step in options.forced)
    return seen.reason or ""
