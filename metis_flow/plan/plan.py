"""The plan: a workflow with its parameters bound, its steps ordered, and its instances where they can be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from metis_flow.errors import ExpressionFailed, MetisFlowError, WorkflowError, WorkflowInvalid, did_you_mean
from metis_flow.plan.graph import Graph, make_graph
from metis_flow.plan.items import Item, Keys, items_of, key_text, known_length
from metis_flow.tasks import find_task, source_hash
from metis_flow.workflow import params
from metis_flow.workflow.definition import CallDef, StepDef, WorkflowDef
from metis_flow.workflow.load import load_workflow, position_of
from metis_flow.workflow.trees import Constant, MapOf, Value, templates

MAX_CHECKED_KEYS = 100_000
"""Longest fan-out whose keys the plan itself walks over; a longer one is checked as it runs."""


@dataclass(frozen=True)
class StepPlan:
    """What is known of a step before it runs.

    Attributes:
        instances: how many; None where an earlier step decides.
        source_hash: hash of the code that a python or uses step calls, with the modules beside the workflow that it
            imports; None for other steps.
    """

    step: StepDef
    instances: int | None
    source_hash: str | None


@dataclass(frozen=True)
class Plan:
    """A compiled workflow.

    Attributes:
        params: the value of every parameter.
        steps: what is known of each step, in an order in which each comes after those that it waits for.
        limit: with ``--limit N``, the number of items that each first fan-out is cut to.
    """

    workflow: WorkflowDef
    params: Mapping[str, Any]
    graph: Graph
    steps: Mapping[str, StepPlan]
    limit: int | None = None

    @cached_property
    def has_chat(self) -> bool:
        """Whether any step needs an endpoint."""
        return any(step.verb == "chat" for step in self.workflow.steps.values())

    @cached_property
    def gathered(self) -> frozenset[str]:
        """Steps whose outputs must be kept until the end of the run, because something takes them whole."""
        kept = {edge.source for edge in self.graph.edges if edge.kind != "item"}
        for value in self.workflow.outputs.values():
            kept.update(ref.step for template in templates(value) for ref in template.refs)
        return frozenset(kept)


def load_plan(
    path: str | Path, given: Mapping[str, Any] | None = None, *, limit: int | None = None, cwd: Path | None = None
) -> Plan:
    """Load a workflow file and plan it.

    Raises:
        WorkflowInvalid: with every mistake found in the file.
        ParameterError: a parameter is unknown, missing or out of bounds.
    """
    return make_plan(load_workflow(path), given, limit=limit, cwd=cwd)


def make_plan(
    workflow: WorkflowDef, given: Mapping[str, Any] | None = None, *, limit: int | None = None, cwd: Path | None = None
) -> Plan:
    """Plan a loaded workflow. Raises what `load_plan` raises."""
    graph = make_graph(workflow)
    values = params.bind(workflow.params, given or {}, workflow.folder, cwd=cwd)
    problems: list[WorkflowError] = []
    steps: dict[str, StepPlan] = {}
    for name in graph.order:
        step = workflow.steps[name]
        code = instances = None
        try:
            code = _code_of(workflow, step, problems)
        except MetisFlowError as error:
            problems.append(_placed(workflow, step, step.verb, error))
        try:
            instances = _known_instances(workflow, step, values, limit, problems)
        except ExpressionFailed as error:
            problems.append(_placed(workflow, step, "foreach", error))
        steps[name] = StepPlan(step, instances, code)
    if problems:
        raise WorkflowInvalid(sorted(problems, key=position_of))
    return Plan(workflow, values, graph, steps, limit)


def _code_of(workflow: WorkflowDef, step: StepDef, problems: list[WorkflowError]) -> str | None:
    """The hash of the code that a step calls; arguments that a task does not take are noted."""
    if not isinstance(step.body, CallDef):
        return None
    if step.verb == "python":
        return source_hash(step.body.target, workflow.folder)
    task = find_task(step.body.target, workflow.folder)
    arguments = step.body.arguments
    given = dict(arguments.items) if isinstance(arguments, MapOf) else arguments.evaluate({})
    known = task.parameters["properties"]
    for name in given:
        if name not in known and not task.parameters["additionalProperties"]:
            summary, place = f"the task '{task.name}' takes no '{name}'", ("steps", step.name, "with", name)
            problems.append(workflow.document.error(summary, place, key=True, hint=did_you_mean(name, known)))
    for name in task.parameters["required"]:
        if name not in given:
            summary, hint = f"the task '{task.name}' needs '{name}'", f"add 'with: {{{name}: …}}'"
            problems.append(workflow.document.error(summary, ("steps", step.name, "uses"), hint=hint))
    return task.source_hash


def _known_instances(
    workflow: WorkflowDef, step: StepDef, values: Mapping[str, Any], limit: int | None, problems: list[WorkflowError]
) -> int | None:
    if step.foreach is None:
        return 1
    if _depends_on_a_run(step.foreach):
        return None
    scope = {"params": values}
    collection = step.foreach.evaluate(scope)
    length = known_length(collection)
    items = items_of(collection, step.name)
    if length is not None and length <= MAX_CHECKED_KEYS and not (step.key and _depends_on_a_run(step.key)):
        keys = Keys(step.name)
        try:
            for item in items:
                keys.add(with_key(step, item, scope))
        except ExpressionFailed as error:
            problems.append(_placed(workflow, step, "key" if step.key else "foreach", error))
    return length if limit is None or length is None else min(length, limit)


def with_key(step: StepDef, item: Item, scope: Mapping[str, Any]) -> Item:
    """The item under the key that the step's own ``key`` gives it, if it has one.

    Raises:
        ExpressionFailed: the expression fails on this item, or gives no key.
    """
    if step.key is None:
        return item
    try:
        key = key_text(step.key.evaluate({**scope, step.item: item.value}))
    except ExpressionFailed as error:
        error.where = error.where or f"{step.name}, item {item.index}"
        raise
    return Item(item.index, key, item.value)


def _depends_on_a_run(value: Value) -> bool:
    if isinstance(value, Constant):
        return False
    return any(template.refs or "run" in template.names for template in templates(value))


def _placed(workflow: WorkflowDef, step: StepDef, field: str, error: MetisFlowError) -> WorkflowError:
    """The error, at the step's own place in the file; where it came from is shown below."""
    placed = workflow.document.error(error.summary, ("steps", step.name, field), hint=error.hint)
    origin = error.where if error.where not in (None, step.name) else None
    placed.detail = "\n".join(part for part in (placed.detail, origin, error.detail) if part)
    return placed
