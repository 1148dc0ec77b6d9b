"""A plan, as a table and as JSON."""

from __future__ import annotations

from typing import Any, TextIO

from metis_flow.plan.plan import Plan, StepPlan
from metis_flow.views.graph_text import WORDS
from metis_flow.views.tables import Column, print_table
from metis_flow.views.values import short
from metis_flow.workflow.definition import CallDef, StepDef
from metis_flow.workflow.expressions import Template

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
                "target": step.step.body.target if isinstance(step.step.body, CallDef) else None,
                "instances": step.instances,
                "foreach": _foreach(step.step),
                "waits_for": [{"step": edge.source, "kind": edge.kind} for edge in plan.graph.into(step.step.name)],
                "executor": _executor(step.step),
            }
            for step in plan.steps.values()
        ],
    }


def _row(plan: Plan, step: StepPlan) -> tuple[object, ...]:
    body = step.step.body
    waits = [
        f"{edge.source} ({WORDS[edge.kind]})" if WORDS[edge.kind] else edge.source
        for edge in plan.graph.into(step.step.name)
    ]
    verb = f"{step.step.verb} {body.target}" if isinstance(body, CallDef) else step.step.verb
    return step.step.name, verb, _instances(plan, step), ", ".join(waits), _executor(step.step)


def _instances(plan: Plan, step: StepPlan) -> str:
    if step.instances is not None:
        return f"{step.instances:,}"
    text = f"one for each of {_foreach(step.step)}"
    followed = plan.graph.follows(step.step.name)
    return f"{text}, at most {plan.limit:,}" if plan.limit is not None and not followed else text


def _foreach(step: StepDef) -> str | None:
    """The expression under ``foreach``, without its braces; for a list or an object, what it is."""
    if step.foreach is None:
        return None
    if isinstance(step.foreach, Template):
        return step.foreach.source.strip().removeprefix("${{").removesuffix("}}").strip()
    return "the values listed there"


def _executor(step: StepDef) -> str:
    return DRIVER if step.verb == "chat" else SITE
