"""The drawn graph: boxes apart, layers in order, no needless crossing, every text escaped."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from metis_flow.plan.graph import Edge, Graph, make_graph
from metis_flow.record.state import StepCounts
from metis_flow.views.graph_drawing import BOX, Direction, draw_graph, graph_svg, tally
from metis_flow.views.graph_layout import Layout, lay_out
from metis_flow.workflow.definition import CallDef, WorkflowDef
from metis_flow.workflow.load import load_workflow
from metis_flow.workflow.trees import Constant

DIAMOND = """
version: 1
name: diamond
steps:
  first: {chat: hello}
  left: {chat: "${{ steps.first.output }}"}
  right: {foreach: [1, 2], chat: "${{ steps.first.output }} ${{ item }}"}
  last: {foreach: "${{ steps.right.results }}", needs: [left, first], python: "a_module:a_function_with_a_long_name"}
"""


def graph_of(*edges: str) -> Graph:
    """A graph of edges written ``ab``, steps named by letters in an order that the edges keep."""
    names = sorted({name for edge in edges for name in edge})
    depth: dict[str, int] = {}
    for name in names:
        depth[name] = 1 + max((depth[edge[0]] for edge in edges if edge[1] == name), default=-1)
    order = tuple(sorted(names, key=lambda name: (depth[name], name)))
    return Graph(order, tuple(Edge(edge[0], edge[1], "one") for edge in edges), depth)


def crossings(layout: Layout) -> int:
    """How often two lines between the same layers cross."""
    lines = [(a, b) for route in layout.routes for a, b in pairwise(route)]
    return sum(
        first[0][0] == second[0][0] and (first[0][1] - second[0][1]) * (first[1][1] - second[1][1]) < -1e-9
        for first, second in combinations(lines, 2)
    )


@pytest.fixture
def diamond(tmp_path: Path) -> WorkflowDef:
    path = tmp_path / "diamond.yaml"
    path.write_text(DIAMOND, encoding="utf-8")
    return load_workflow(path)


@pytest.mark.parametrize(
    ("edges", "fewest"),
    [
        (("ab", "bc", "cd"), 0),
        (("ac", "ad", "bc", "bd"), 1),
        (("ad", "ae", "be", "bf", "cf", "cd"), 2),
        (("ab", "bc", "ac", "cd", "ad"), 0),
        (("af", "bg", "ch", "di", "ej"), 0),
        (("aj", "bi", "ch", "dg", "ef"), 0),
    ],
)
def test_lines_cross_as_little_as_they_can(edges: tuple[str, ...], fewest: int) -> None:
    assert crossings(lay_out(graph_of(*edges))) <= fewest


@pytest.mark.parametrize("seed", range(8))
def test_steps_and_bends_keep_their_distance(seed: int) -> None:
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrst"
    edges = {f"{a}{b}" for a, b in combinations(letters, 2) if chance.random() < 0.15}
    layout = lay_out(graph_of(*sorted(edges), "ab"))
    for (_, one), (_, other) in combinations(layout.steps.items(), 2):
        assert one[0] != other[0] or abs(one[1] - other[1]) >= 1 - 1e-9
    bends = [point for route in layout.routes for point in route[1:-1]]
    for bend in bends:
        assert all(bend[0] != step[0] or abs(bend[1] - step[1]) >= 0.7 - 1e-9 for step in layout.steps.values())
    assert all(0.5 - 1e-9 <= place <= layout.breadth - 0.5 + 1e-9 for _, place in layout.steps.values())


def test_a_chain_is_straight() -> None:
    layout = lay_out(graph_of("ab", "bc", "cd"))
    assert {place for _, place in layout.steps.values()} == {0.5}
    assert [layout.steps[name][0] for name in "abcd"] == [0, 1, 2, 3]


@pytest.mark.parametrize("direction", ["right", "down"])
def test_everything_is_within_the_picture(diamond: WorkflowDef, direction: Direction) -> None:
    root = ET.fromstring(graph_svg(diamond, make_graph(diamond), direction=direction))
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
    places = [group.attrib["transform"][10:-1].split() for group in root.iter("{http://www.w3.org/2000/svg}g")]
    assert len(places) == 4
    for x, y in places:
        assert 0 <= float(x) <= width - BOX[0]
        assert 5 <= float(y) <= height - BOX[1]


def test_a_drawing_that_stands_alone(diamond: WorkflowDef) -> None:
    svg = graph_svg(diamond, make_graph(diamond))
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("item by item") == 1
    assert texts.count("needs") == 2
    assert "for each item" in texts
    assert "python a_module:a_functi…" in texts
    assert "prefers-color-scheme:dark" in svg


def test_a_run_colours_its_steps_and_links_them(diamond: WorkflowDef) -> None:
    counts = {
        "first": StepCounts(done=1, items=1, status="done"),
        "right": StepCounts(done=3, failed=1, items=8, status="running"),
    }
    svg = draw_graph(diamond, make_graph(diamond), counts, links="#step-")
    assert 'href="#step-right" data-step="right"><g class="g-running"' in svg
    assert '<g class="g-done"' in svg
    assert svg.count('<g class="g-waiting"') == 2
    assert "right: running, 3 done, 1 failed of 8" in svg
    assert "not begun" in svg


def test_texts_are_escaped(diamond: WorkflowDef) -> None:
    odd = replace(diamond, name="<b>&\u202e", steps={**diamond.steps})
    odd.steps["last"] = replace(odd.steps["last"], body=CallDef("<script>", Constant(None)))  # type: ignore[index]
    svg = graph_svg(odd, make_graph(odd))
    ET.fromstring(svg)
    assert "&lt;b&gt;&amp;\\u202e" in svg
    assert "python &lt;script&gt;" in svg


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (StepCounts(status="waiting"), "not begun"),
        (StepCounts(), "nothing yet"),
        (StepCounts(done=1200, items=1200, status="done"), "1,200 done"),
        (StepCounts(done=2, failed=1, skipped=3, running=4, items=10), "2 done, 1 failed, 3 skipped, 4 running of 10"),
    ],
)
def test_a_tally(counts: StepCounts, words: str) -> None:
    assert tally(counts) == words
