"""The plan: a workflow with its parameters bound, its steps ordered, and its instances where they can be known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from metis_flow.errors import ExpressionFailed, MetisFlowError, WorkflowError, WorkflowInvalid, did_you_mean
from metis_flow.plan.combinations import Combinations, all_of, combinations_of
from metis_flow.plan.graph import Graph, make_graph
from metis_flow.plan.items import ONLY, Again, Item, Keys, items_of, key_text, known_length
from metis_flow.tasks import find_task, source_hash
from metis_flow.workflow import params
from metis_flow.workflow.bodies import WorkflowCallDef
from metis_flow.workflow.definition import CallDef, StepDef, WorkflowDef
from metis_flow.workflow.expressions import Template
from metis_flow.workflow.load import load_workflow, position_of
from metis_flow.workflow.mistakes import Mistakes
from metis_flow.workflow.trees import Constant, MapOf, Value, templates

MAX_CHECKED_KEYS = 10_000
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
        return bool(self.asking)

    @cached_property
    def asking(self) -> Mapping[str, StepDef]:
        """The steps that ask a model; those of workflows that it calls as ``step.their_step``, each
        workflow once."""
        return dict(_asking(self.workflow, set()))

    @cached_property
    def conversations(self) -> frozenset[str]:
        """Chat steps whose messages something may read, so that they must be kept with the results."""
        found = {name for step in self.workflow.steps.values() for name in step.reads_messages_of}
        for value in self.workflow.outputs.values():
            for template in templates(value):
                asks = "messages" in template.source
                found |= {ref.step for ref in template.refs if asks and ref.field in ("messages", "results")}
        return frozenset(name for name in found if self.workflow.steps[name].verb == "chat")

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
    problems = Mistakes()
    steps: dict[str, StepPlan] = {}
    workflow = with_asking(workflow)
    for child in called(workflow):
        _check_called(child, problems)
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
            problems.append(_placed(workflow, step, _spread_field(step), error))
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
            problems.append(workflow.mistake(summary, place, key=True, hint=did_you_mean(name, known)))
    for name in task.parameters["required"]:
        if name not in given:
            summary, hint = f"the task '{task.name}' needs '{name}'", f"add 'with: {{{name}: …}}'"
            problems.append(workflow.mistake(summary, ("steps", step.name, "uses"), hint=hint))
    for key in ("model", "repair"):
        if not task.asks and workflow.says(("steps", step.name, key)):
            summary = f"the task '{task.name}' asks no model, and takes no '{key}'"
            problems.append(workflow.mistake(summary, ("steps", step.name, key), key=True))
    return task.source_hash


def with_asking(workflow: WorkflowDef, known: dict[int, WorkflowDef] | None = None) -> WorkflowDef:
    """The workflow with those of its steps marked whose task asks a model; likewise in what it calls.

    Args:
        known: those that were marked already, by the identity of the workflow: many steps may call one.
    """
    known = {} if known is None else known
    if id(workflow) not in known:
        steps = {name: _with_asking(workflow, step, known) for name, step in workflow.steps.items()}
        known[id(workflow)] = replace(workflow, steps=steps)
    return known[id(workflow)]


def _with_asking(workflow: WorkflowDef, step: StepDef, known: dict[int, WorkflowDef]) -> StepDef:
    body = step.body
    if isinstance(body, WorkflowCallDef):
        return replace(step, body=replace(body, child=with_asking(body.child, known)))
    if step.verb != "uses" or not isinstance(body, CallDef):
        return step
    try:
        return replace(step, asks=find_task(body.target, workflow.folder).asks)
    except MetisFlowError:
        return step  # it is reported where its code is looked for


def _asking(workflow: WorkflowDef, seen: set[int]) -> Iterator[tuple[str, StepDef]]:
    for name, step in workflow.steps.items():
        if step.asks_model:
            yield name, step
        elif isinstance(step.body, WorkflowCallDef) and id(step.body.child) not in seen:
            seen.add(id(step.body.child))
            yield from ((f"{name}.{inner}", found) for inner, found in _asking(step.body.child, seen))


def called(workflow: WorkflowDef) -> list[WorkflowDef]:
    """The workflows that a workflow calls, and those that these call; each once."""
    found: dict[int, WorkflowDef] = {}
    waiting = list(workflow.children)
    while waiting:
        child = waiting.pop(0)
        if id(child) not in found:
            found[id(child)] = child
            waiting.extend(child.children)
    return list(found.values())


def _check_called(child: WorkflowDef, problems: list[WorkflowError]) -> None:
    """What can be known of a workflow that is called, before its parameters are."""
    try:
        make_graph(child)
    except WorkflowInvalid as error:
        problems.extend(error.problems)
    for step in child.steps.values():
        try:
            _code_of(child, step, problems)
        except MetisFlowError as error:
            problems.append(_placed(child, step, step.verb, error))


def items_of_step(step: StepDef, scope: Mapping[str, Any]) -> tuple[Iterator[Item], int | None]:
    """The items of a step that follows no other item by item, lazily, and how many; None where that is not known.

    Args:
        scope: what the expressions of the whole step see.

    Raises:
        ExpressionFailed: ``foreach``, an axis or ``repeat`` cannot be evaluated, or gives something else.
    """
    if not step.is_fan_out:
        return iter([ONLY]), 1
    combinations = combinations_of(step, scope)
    if step.foreach is None:
        return combinations.of(ONLY), combinations.size
    collection = step.foreach.evaluate(scope)
    length = known_length(collection)
    total = None if length is None or combinations.size is None else length * combinations.size
    return all_of(items_of(collection, step.name), combinations), total


def items_again(step: StepDef, scope: Mapping[str, Any]) -> Again:
    """Gives an item that `items_of_step` gave once more, by its index, under its own key."""

    @cache  # once for all equal keys, and only where there are any
    def evaluated() -> tuple[Combinations, Any]:
        return combinations_of(step, scope), None if step.foreach is None else step.foreach.evaluate(scope)

    def again(index: int) -> Item | None:
        combinations, collection = evaluated()
        if step.foreach is None:
            item = next((one for one in combinations.of(ONLY) if one.index == index), None)
        else:
            item = combinations.with_index(index, collection, step.name)
        return None if item is None else with_key(step, item, scope)

    return again


def _known_instances(
    workflow: WorkflowDef, step: StepDef, values: Mapping[str, Any], limit: int | None, problems: list[WorkflowError]
) -> int | None:
    if any(_depends_on_a_run(value) for value in step.spreads()):
        return None
    scope = {"params": values}
    items, length = items_of_step(step, scope)
    if not step.is_fan_out:
        return 1
    if length is not None and length <= MAX_CHECKED_KEYS and not (step.key and _depends_on_a_run(step.key)):
        keys = Keys(step.name, items_again(step, scope))
        try:
            for item in items:
                keys.add(with_key(step, item, scope))
        except ExpressionFailed as error:
            problems.append(_placed(workflow, step, "key" if step.key else _spread_field(step), error))
    return length if limit is None or length is None else min(length, limit)


def _spread_field(step: StepDef) -> str:
    """The modifier that makes a step's items, to point at."""
    return "foreach" if step.foreach is not None else "matrix" if step.matrix is not None else "repeat"


def with_key(step: StepDef, item: Item, scope: Mapping[str, Any]) -> Item:
    """The item under the key that the step's own ``key`` gives it, if it has one.

    The axes of a matrix and the repeat that ``key`` does not read stand behind it.

    Raises:
        ExpressionFailed: the expression fails on this item, or gives no key.
    """
    if step.key is None:
        return item
    own = {} if step.foreach is None else {step.item: item.value}
    try:
        key = key_text(step.key.evaluate({**scope, **own, **item.names}))
    except ExpressionFailed as error:
        error.where = error.where or f"{step.name}, item {item.index}"
        raise
    return replace(
        item, key=",".join([key, *(part for name, part in item.parts.items() if not _reads(step.key, name))])
    )


def _reads(key: Template, name: str) -> bool:
    """Whether a key says what tells the instances apart by ``matrix.<axis>`` or ``repeat``; a bare matrix says all."""
    root = name.partition(".")[0]
    deeper = any(path.startswith(f"{root}.") for path in key.paths)
    return root in key.names and (not deeper or any(f"{path}.".startswith(f"{name}.") for path in key.paths))


def _depends_on_a_run(value: Value) -> bool:
    if isinstance(value, Constant):
        return False
    return any(template.refs or "run" in template.names for template in templates(value))


def _placed(workflow: WorkflowDef, step: StepDef, field: str, error: MetisFlowError) -> WorkflowError:
    """The error, at the step's own place in the file; where it came from is shown below."""
    placed = workflow.mistake(error.summary, ("steps", step.name, field), hint=error.hint)
    origin = error.where if error.where not in (None, step.name) else None
    placed.detail = "\n".join(part for part in (placed.detail, origin, error.detail) if part)
    return placed
