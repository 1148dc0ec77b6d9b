"""A plan, as a table and as JSON."""

from __future__ import annotations

from typing import Any, TextIO

from metis_flow.plan.plan import Plan, StepPlan
from metis_flow.views.graph_text import WORDS, target_of, verb_of
from metis_flow.views.tables import Column, print_table
from metis_flow.views.values import short
from metis_flow.workflow.definition import StepDef

DRIVER, SITE = "driver", "site"

_COLUMNS = (Column("step"), Column("verb"), Column("instances"), Column("waits for"), Column("runs on"))


def print_plan(plan: Plan, out: TextIO) -> None:
    """The steps in their order, and the value of every parameter."""
    print_table(_COLUMNS, [_row(plan, step) for step in plan.steps.values()], out)
    if plan.params:
        out.write("\n")
        rows = [(name, short(value)) for name, value in plan.params.items()]
        print_table((Column("parameter"), Column("value", gives_way=True)), rows, out)


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """The document of ``plan --json``."""
    return {
        "workflow": plan.workflow.name,
        "file": str(plan.workflow.path),
        "params": dict(plan.params),
        "limit": plan.limit,
        "steps": [
            {
                "name": step.step.name,
                "verb": step.step.verb,
                "target": target_of(step.step),
                "instances": step.instances,
                "foreach": step.step.spread,
                "waits_for": [{"step": edge.source, "kind": edge.kind} for edge in plan.graph.into(step.step.name)],
                "executor": _executor(step.step),
            }
            for step in plan.steps.values()
        ],
    }


def _row(plan: Plan, step: StepPlan) -> tuple[object, ...]:
    waits = [
        f"{edge.source} ({WORDS[edge.kind]})" if WORDS[edge.kind] else edge.source
        for edge in plan.graph.into(step.step.name)
    ]
    return step.step.name, verb_of(step.step), _instances(plan, step), ", ".join(waits), _executor(step.step) or ""


def _instances(plan: Plan, step: StepPlan) -> str:
    if step.instances is not None:
        return f"{step.instances:,}"
    text = f"one for each of {step.step.spread}"
    followed = plan.graph.follows(step.step.name)
    return f"{text}, at most {plan.limit:,}" if plan.limit is not None and not followed else text


def _executor(step: StepDef) -> str | None:
    """None for a workflow: each of its steps has a place of its own."""
    if step.executor is not None or step.verb == "workflow":
        return step.executor
    return DRIVER if step.asks_model else SITE
