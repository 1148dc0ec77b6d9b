"""Edges between steps, their order, and cycles as they are drawn."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metis_flow.plan.graph import Edge
from metis_flow.plan.plan import Plan

MakePlan = Callable[..., Plan]
Refused = Callable[..., list[str]]


def kinds(plan: Plan) -> set[str]:
    return {f"{edge.source} {edge.kind} {edge.target}" for edge in plan.graph.edges}


EDGES = [
    ("stdin: ${{ steps.one.output }}", {"one one s"}),
    ("needs: one", {"one needs s"}),
    ("needs: [one, many]", {"one needs s", "many needs s"}),
    ("needs: one\n    stdin: ${{ steps.one.output }}", {"one one s"}),
    ("stdin: ${{ steps.many.outputs }}", {"many gather s"}),
    ("stdin: ${{ steps.many.results }}", {"many gather s"}),
    ("if: steps.many.status == 'done'", {"many gather s"}),
    ("foreach: ${{ steps.one.output }}", {"one one s"}),
    ("foreach: ${{ steps.many.outputs }}", {"many item s"}),
    ("foreach: ${{ steps.many.results }}", {"many item s"}),
    ("foreach: ${{ steps.many['results'] }}", {"many item s"}),
    # everything else waits for the whole of it
    ("foreach: ${{ steps.many.outputs[:3] }}", {"many gather s"}),
    ("foreach: ${{ steps.many.results|list }}", {"many gather s"}),
    ("foreach: ['${{ steps.many.outputs }}']", {"many gather s"}),
    ("foreach: ${{ steps.many.results }}\n    needs: many", {"many gather s"}),
    ("foreach: ${{ steps.many.results }}\n    stdin: ${{ steps.many.outputs }}", {"many gather s"}),
    ("foreach: ${{ steps.many.results }}\n    needs: one", {"many item s", "one needs s"}),
    ("foreach: ${{ steps.many.results }}\n    stdin: ${{ steps.one.output }}", {"many item s", "one one s"}),
]


@pytest.mark.parametrize(("text", "expected"), EDGES)
def test_edges(make: MakePlan, text: str, expected: set[str]) -> None:
    plan = make(f"steps:\n  s:\n    run: x\n    {text}\n  many: {{foreach: [1], run: x}}\n  one: {{run: x}}\n")
    assert kinds(plan) == expected
    assert plan.graph.order[-1] == "s"
    assert [edge.source for edge in plan.graph.into("s")] == [edge.source for edge in plan.graph.edges]
    assert plan.graph.out_of("s") == []


def test_order_is_that_of_the_file_where_nothing_else_decides(make: MakePlan) -> None:
    steps = {"d": "[b, c]", "c": "a", "b": "a", "a": "[]", "z": "[]"}
    plan = make("steps:\n" + "".join(f"  {name}: {{run: x, needs: {needs}}}\n" for name, needs in steps.items()))
    assert plan.graph.order == ("a", "z", "c", "b", "d")
    assert plan.graph.depth == {"a": 0, "z": 0, "b": 1, "c": 1, "d": 2}
    assert plan.graph.into("d") == [Edge("b", "d", "needs"), Edge("c", "d", "needs")]
    assert plan.graph.out_of("a") == [Edge("a", "c", "needs"), Edge("a", "b", "needs")]


def test_a_long_chain_in_the_wrong_order(make: MakePlan) -> None:
    lines = [f"  s{n}: {{run: x, needs: s{n + 1}}}\n" for n in range(200)]
    plan = make("steps:\n" + "".join(lines) + "  s200: {run: x}\n")
    assert plan.graph.order == tuple(f"s{n}" for n in range(200, -1, -1))


REMOVE = "[remove one of the references]"
CYCLES = [
    ("  a: {run: x, needs: a}\n", f"4:3 the step 'a' waits for itself {REMOVE}"),
    ("  a: {run: x, stdin: '${{ steps.a.output }}'}\n", f"4:3 the step 'a' waits for itself {REMOVE}"),
    ("  a: {run: x, foreach: '${{ steps.a.results }}'}\n", f"4:3 the step 'a' waits for itself {REMOVE}"),
    (
        "  b: {run: x, stdin: '${{ steps.a.output }}'}\n  a: {run: x, if: steps.b.output}\n",
        f"4:3 the steps wait for each other: b → a → b {REMOVE}",
    ),
    # a → b means that b waits for a
    (
        "  a: {run: x, needs: c}\n  b: {run: x, needs: a}\n  c: {run: x, needs: b}\n",
        f"4:3 the steps wait for each other: a → b → c → a {REMOVE}",
    ),
    # what leads into the cycle, and what follows from it, is left out
    (
        "  last: {run: x, needs: b}\n  first: {run: x}\n  a: {run: x, needs: [b, first]}\n  b: {run: x, needs: a}\n",
        f"6:3 the steps wait for each other: a → b → a {REMOVE}",
    ),
    (
        "  a: {run: x, foreach: '${{ steps.b.results }}'}\n  b: {run: x, foreach: '${{ steps.a.outputs }}'}\n",
        f"4:3 the steps wait for each other: a → b → a {REMOVE}",
    ),
]


@pytest.mark.parametrize(("text", "expected"), CYCLES)
def test_cycles_are_drawn(refused: Refused, text: str, expected: str) -> None:
    assert refused(f"steps:\n{text}") == [expected]
