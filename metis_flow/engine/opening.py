"""Whether a step may start, whether it runs at all, and which items it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from metis_flow.engine.scope import Result, status_functions
from metis_flow.engine.steprun import Instance, StepRun
from metis_flow.errors import UpstreamFailed
from metis_flow.plan.combinations import combinations_of
from metis_flow.plan.graph import Graph
from metis_flow.plan.items import Again, Item
from metis_flow.plan.plan import items_again as items_of_step_again
from metis_flow.plan.plan import items_of_step, with_key

Steps = Mapping[str, StepRun]


def is_ready(step: StepRun, graph: Graph, steps: Steps) -> bool:
    """Whether all that a step waits for has ended, or has begun where it goes item by item."""
    for edge in graph.into(step.name):
        source = steps[edge.source]
        if not source.is_closed and (edge.kind != "item" or source.status == "waiting"):
            return False
    return True


def shared_scope(step: StepRun, graph: Graph, steps: Steps, base: Mapping[str, Any]) -> dict[str, Any]:
    """What the expressions of all instances of a step see."""
    sources = [edge.source for edge in graph.into(step.name) if edge.kind != "item"]
    return {**base, "steps": {name: steps[name].view() for name in sources}}


def reason_to_skip_all(step: StepRun, graph: Graph, steps: Steps) -> str | None:
    """Why a step does not run at all; None where it does.

    Raises:
        UpstreamFailed: it gathers a fan-out that failed, and so fails itself.
        ExpressionFailed: its ``if`` cannot be evaluated.
    """
    definition = step.definition
    edges = graph.into(step.name)
    # a step that is followed item by item, and ended without any item, is waited for as a whole
    sources = [steps[edge.source] for edge in edges if edge.kind != "item" or not step.backlog]
    failed = [source for source in sources if source.status == "failed" or source.after_failure]
    unusable = failed + [source for source in sources if source.status == "skipped" and not source.after_failure]
    if unusable and not definition.condition_minds_failures:
        followed = {edge.source for edge in edges if edge.kind == "item"}
        _refuse_to_gather(step, [source for source in failed if source.name not in followed])
        step.after_failure = bool(failed)
        return ", ".join(f"{source.name} {_ended(source)}" for source in failed or unusable)
    if definition.condition is not None and not definition.condition_is_per_item:
        scope = {**step.base, **status_functions(upstream_failed=bool(failed))}
        if not definition.condition.evaluate(scope):
            return "its 'if' is false"
    return None


def _ended(source: StepRun) -> str:
    return "failed" if source.status == "failed" else "was skipped"


def _refuse_to_gather(step: StepRun, failed: list[StepRun]) -> None:
    gathered = [source for source in failed if source.definition.is_fan_out and source.status == "failed"]
    if gathered:
        reason = "; ".join(f"{source.name}: {source.progress.reason}" for source in gathered)
        hint = "mend it and resume; or let it go on with 'on_error: continue' there"
        raise UpstreamFailed(f"it gathers a step that failed ({reason})", where=step.name, hint=hint)


def items_for(
    step: StepRun, steps: Steps, *, follows: bool, limit: int | None
) -> tuple[Iterator[Item] | None, int | None]:
    """The items of a step, None where they come one by one from another; and how many, None where nobody knows.

    Raises:
        ExpressionFailed: ``foreach``, an axis of the matrix or ``repeat`` cannot be evaluated, or gives something else.
    """
    definition = step.definition
    if definition.upstream is not None:
        source = steps[definition.upstream.step]
        if not follows:  # it refers to the whole of the step too, which has ended by now
            step.backlog.fill(source.kept)
        size, total = combinations_of(definition, step.base).size, source.progress.total
        return None, None if size is None or total is None else size * total
    items, total = items_of_step(definition, step.base)
    if limit is None or not definition.is_fan_out:
        return items, total
    if total is not None and total > limit:
        step.progress.uncut = total
    return islice(items, limit), None if total is None else min(total, limit)


def arriving(step: StepRun, result: Result) -> Iterator[Item]:
    """The items that come of one result of the step that is followed: one, or as many as matrix and repeat make."""
    followed = step.definition.upstream
    assert followed is not None
    value = result.output if followed.field == "outputs" else result.as_row()
    item = Item(result.item.index, result.item.key, value)
    return combinations_of(step.definition, step.base).of(item)


def items_again(step: StepRun, steps: Steps) -> Again:
    """Gives an item of a step once more, under its own key."""
    definition = step.definition
    if definition.upstream is None:
        return items_of_step_again(definition, step.base)
    kept = steps[definition.upstream.step].kept

    def again(index: int) -> Item | None:
        result = kept.with_index(index // combinations_of(definition, step.base).stride)
        found = () if result is None else arriving(step, result)
        item = next((item for item in found if item.index == index), None)
        return None if item is None else with_key(definition, item, step.base)

    return again


def reason_to_skip(instance: Instance) -> str | None:
    """Why one instance does not run; None where it does.

    Raises:
        ExpressionFailed: its ``if`` cannot be evaluated.
    """
    definition, upstream = instance.step.definition, instance.upstream
    failed = upstream is not None and upstream.status == "failed"
    if upstream is not None and upstream.status != "done" and not definition.condition_minds_failures:
        assert definition.upstream is not None
        instance.step.skipped_by_failure += failed
        return f"{definition.upstream.step} {upstream.status}"
    if definition.condition is not None and definition.condition_is_per_item:
        scope = {**instance.scope, **status_functions(upstream_failed=failed)}
        if not definition.condition.evaluate(scope):
            return "its 'if' is false"
    return None
