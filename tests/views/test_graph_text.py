"""Graphs as text for Mermaid and Graphviz."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metis_flow.plan.graph import make_graph
from metis_flow.views.graph_text import dot, mermaid
from metis_flow.workflow.definition import CallDef, StepDef, WorkflowDef
from metis_flow.workflow.load import load_workflow

WORKFLOW = """\
version: 1
name: drawn
steps:
  end: {uses: read_rows, with: {path: x.csv}}
  graph:
    foreach: ${{ steps.end.output }}
    as: row
    chat: ${{ row.text }}
  style:
    foreach: ${{ steps.graph.results }}
    run: "true"
  click:
    chat: ${{ lines(steps.graph.outputs) }}
    needs: style
"""


@pytest.fixture
def workflow(tmp_path: Path) -> WorkflowDef:
    path = tmp_path / "drawn.yaml"
    path.write_text(WORKFLOW)
    return load_workflow(path)


def test_mermaid(workflow: WorkflowDef) -> None:
    assert mermaid(workflow, make_graph(workflow)) == (
        "flowchart TD\n"
        '    s_end["end<br/>uses read_rows"]\n'
        '    s_graph[["graph<br/>chat<br/>for each row"]]\n'
        '    s_style[["style<br/>run<br/>for each item"]]\n'
        '    s_click["click<br/>chat"]\n'
        "    s_end --> s_graph\n"
        '    s_graph ==>|"item by item"| s_style\n'
        '    s_style -.->|"needs"| s_click\n'
        '    s_graph -->|"all of it"| s_click\n'
    )


def test_dot(workflow: WorkflowDef) -> None:
    assert dot(workflow, make_graph(workflow)) == (
        'digraph "drawn" {\n'
        '    node [shape=box, fontname="sans-serif"];\n'
        '    "end" [label="end\\nuses read_rows"];\n'
        '    "graph" [label="graph\\nchat\\nfor each row", peripheries=2];\n'
        '    "style" [label="style\\nrun\\nfor each item", peripheries=2];\n'
        '    "click" [label="click\\nchat"];\n'
        '    "end" -> "graph" [style=solid];\n'
        '    "graph" -> "style" [style=bold, label="item by item"];\n'
        '    "style" -> "click" [style=dashed, label="needs"];\n'
        '    "graph" -> "click" [style=solid, label="all of it"];\n'
        "}\n"
    )


@pytest.mark.parametrize(
    "target", ['a"]; click x "b', "a\\", "<b>&amp;</b>", "`x`#quot;", "line\nbreak\x1b[2J", "x" * 500]
)
def test_no_name_ends_its_own_label(workflow: WorkflowDef, target: str) -> None:
    step = StepDef("end", "uses", CallDef(target, workflow.steps["end"].body.arguments))  # type: ignore[union-attr]
    workflow.steps["end"] = step  # type: ignore[index]
    graph = make_graph(workflow)
    (line,) = [line for line in mermaid(workflow, graph).splitlines() if line.startswith("    s_end[")]
    assert re.fullmatch(r'    s_end\["(?:[^"#<>&`\\]|#\d+;|<br/>)*"\]', line)
    (line,) = [line for line in dot(workflow, graph).splitlines() if line.startswith('    "end" [')]
    assert re.fullmatch(r'    "end" \[label="(?:[^"\\&]|\\["\\n]|&amp;)*"\];', line)
    assert "\x1b" not in line


def test_what_tells_the_instances_apart(tmp_path: Path) -> None:
    (tmp_path / "child.yaml").write_text("version: 1\nname: child\nsteps: {a: {run: 'true'}}\n")
    path = tmp_path / "spread.yaml"
    path.write_text(
        "version: 1\nname: spread\nsteps:\n"
        "  a: {foreach: [1, 2], as: paper, workflow: child.yaml}\n"
        "  b: {matrix: {model: [m], t: [0, 1]}, repeat: 5, chat: x}\n"
        "  c: {foreach: [1], matrix: {include: [{x: 1}]}, run: 'true'}\n"
    )
    workflow = load_workflow(path)
    assert mermaid(workflow, make_graph(workflow)).splitlines()[1:] == [
        '    s_a[["a<br/>workflow child.yaml<br/>for each paper"]]',
        '    s_b[["b<br/>chat<br/>for each model, t, repeat"]]',
        '    s_c[["c<br/>run<br/>for each item, combination"]]',
    ]
