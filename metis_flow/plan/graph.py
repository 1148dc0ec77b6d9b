"""Edges between steps, their order, and cycles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from metis_flow.errors import WorkflowError, WorkflowInvalid
from metis_flow.workflow.definition import StepDef, WorkflowDef

EdgeKind = Literal["one", "item", "gather", "needs"]


@dataclass(frozen=True)
class Edge:
    """That one step waits for another.

    Attributes:
        source: the step waited for.
        target: the step that waits.
        kind: ``item``: each instance waits for one instance; ``gather``: for the whole fan-out; ``one``: for a
            step of one instance; ``needs``: for the whole step, without using its output.
    """

    source: str
    target: str
    kind: EdgeKind


def edges_of(step: StepDef, steps: Mapping[str, StepDef]) -> list[Edge]:
    """The edges into a step, one for each step that it waits for."""
    kinds: dict[str, EdgeKind] = dict.fromkeys(step.needs, "needs")
    for ref in sorted(step.refs, key=lambda ref: (ref.step, ref.field)):
        kinds[ref.step] = "gather" if steps[ref.step].is_fan_out else "one"
    if step.upstream is not None and not _is_awaited(step, step.upstream.step):
        kinds[step.upstream.step] = "item"
    return [Edge(source, step.name, kind) for source, kind in kinds.items()]


def _is_awaited(step: StepDef, source: str) -> bool:
    """Whether a step waits for the whole of another, besides following it item by item."""
    return source in step.needs or any(ref.step == source for ref in step.instance_refs)


@dataclass(frozen=True)
class Graph:
    """The steps in an order in which each comes after those that it waits for.

    Attributes:
        order: step names; among equals, file order.
        edges: all edges, by target in that order.
        depth: the number of edges on the longest way to a step.
    """

    order: tuple[str, ...]
    edges: tuple[Edge, ...]
    depth: Mapping[str, int]

    def follows(self, step: str) -> bool:
        """Whether a step goes item by item behind another."""
        return any(edge.kind == "item" for edge in self.into(step))

    def into(self, step: str) -> list[Edge]:
        """The edges into a step."""
        return [edge for edge in self.edges if edge.target == step]

    def above(self, step: str) -> set[str]:
        """Every step that a step depends on, near or far."""
        return _reach(step, {name: [edge.source for edge in self.into(name)] for name in self.order})

    def below(self, step: str) -> set[str]:
        """Every step that depends on a step, near or far."""
        return _reach(step, {name: [edge.target for edge in self.out_of(name)] for name in self.order})

    def out_of(self, step: str) -> list[Edge]:
        """The edges out of a step."""
        return [edge for edge in self.edges if edge.source == step]


def _reach(start: str, ways: Mapping[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = set(ways[waiting.pop()]) - found
        found |= new
        waiting.extend(new)
    return found


def make_graph(workflow: WorkflowDef) -> Graph:
    """Order the steps of a workflow.

    Raises:
        WorkflowInvalid: the steps form a cycle, which is drawn.
    """
    incoming = {name: edges_of(step, workflow.steps) for name, step in workflow.steps.items()}
    depth: dict[str, int] = {}
    missing = {name: len(edges) for name, edges in incoming.items()}
    below: dict[str, list[str]] = {name: [] for name in workflow.steps}
    for edge in (edge for edges in incoming.values() for edge in edges):
        below[edge.source].append(edge.target)
    ready = [name for name, count in missing.items() if count == 0]
    for name in ready:  # grows as it is walked over
        depth[name] = 1 + max((depth[edge.source] for edge in incoming[name]), default=-1)
        for target in below[name]:
            missing[target] -= 1
            if missing[target] == 0:
                ready.append(target)
    waiting = [name for name in workflow.steps if name not in depth]
    if waiting:
        raise WorkflowInvalid([_cycle_error(workflow, _find_cycle(waiting, incoming))])
    position = {name: index for index, name in enumerate(workflow.steps)}
    order = tuple(sorted(depth, key=lambda name: (depth[name], position[name])))
    return Graph(order, tuple(edge for name in order for edge in incoming[name]), depth)


def _find_cycle(waiting: list[str], incoming: Mapping[str, list[Edge]]) -> list[str]:
    """Walk backwards along unfinished steps until one comes again."""
    path = [waiting[0]]
    while True:
        source = next(edge.source for edge in incoming[path[-1]] if edge.source in waiting)
        if source in path:
            cycle = path[path.index(source) :]
            return cycle[::-1]
        path.append(source)


def _cycle_error(workflow: WorkflowDef, cycle: list[str]) -> WorkflowError:
    start = cycle.index(min(cycle, key=list(workflow.steps).index))
    cycle = cycle[start:] + cycle[:start]
    drawn = " → ".join([*cycle, cycle[0]])
    summary = f"the steps wait for each other: {drawn}"
    if len(cycle) == 1:
        summary = f"the step '{cycle[0]}' waits for itself"
    return workflow.mistake(summary, ("steps", cycle[0]), key=True, hint="remove one of the references")
