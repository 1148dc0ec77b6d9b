"""What the instances of a step have in common, how repeats differ, and whether other runs may use what they give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metis_flow.plan.plan import Plan
from metis_flow.workflow.definition import CallDef, ChatDef, ShellDef, StepDef, WorkflowCallDef
from metis_flow.workflow.trees import Constant, Value

_WRITTEN = frozenset(("function", "source", "script", "output", "schema"))
"""Parts of content keys in which no expression can stand."""


def parts_in_common(step: StepDef) -> frozenset[str]:
    """The parts of the content key that are the same for all instances of a step in one run.

    Where an expression is evaluated that is never taken for granted, not even if it reads nothing of the item: one
    with ``random`` gives something else each time.
    """
    body = step.body
    if isinstance(body, WorkflowCallDef):
        return frozenset()  # its files are read anew for each instance
    values: dict[str, list[Value | None]] = {}
    if isinstance(body, ShellDef):
        values = {"env": [*body.env.values()], "args": [*body.args], "stdin": [body.stdin]}
    elif isinstance(body, ChatDef | CallDef):
        values["model"] = [body.model]
        if step.repeat is None and step.until is None:  # otherwise each has a seed of its own
            values["settings"] = [*body.settings.values()]
    found = {name for name, given in values.items() if all(isinstance(value, Constant | None) for value in given)}
    if step.check is None or step.check.names <= {"output", "params"}:
        found.add("check")
    return _WRITTEN | found


def settings_of(values: Mapping[str, Value], scope: Mapping[str, Any]) -> dict[str, Any]:
    """The model's settings for one instance; those that are null are left out."""
    settings = {name: value.evaluate(scope) for name, value in values.items()}
    settings.update(settings.pop("extra", None) or {})
    return {name: value for name, value in settings.items() if value is not None}


def repetition(step: StepDef, scope: Mapping[str, Any]) -> dict[str, int]:
    """For the content key: which repeat and which round it is, where the step has several."""
    names = [name for name, has in (("repeat", step.repeat), ("round", step.until)) if has is not None]
    return {name: scope[name] for name in names}


def why_own_only(step: StepDef, settings: Mapping[str, Any] | None = None) -> str | None:
    """Why other runs may not use what a step gives; None where they may.

    Args:
        settings: of the model, for a chat step.
    """
    if step.cache is False:
        return "cache: false"
    if step.verb == "run" and not step.cache:
        return "a script; 'cache: true' shares its results"
    if settings is not None and settings.get("seed") is None and settings.get("temperature") != 0:
        return "a sample: it has no seed, and no temperature of 0"
    return None


def why_call_own_only(plan: Plan) -> str | None:
    """Why other runs may not use what a workflow that is called gives: one of its steps may not be shared."""
    for name, step in plan.workflow.steps.items():
        settings = None
        if step.asks_model:
            given = getattr(step.body, "settings", {})
            # an expression may well give a seed; a temperature is only known to be 0 where it is written so
            settings = {key: value.evaluate({}) if isinstance(value, Constant) else key for key, value in given.items()}
        why = why_own_only(step, settings)
        if why is not None:
            return f"its step {name} is not shared ({why})"
    return None
