"""A run and a workflow as a notebook shows them: a few lines of HTML without scripts or styles of a page."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from metis_flow.plan.graph import make_graph
from metis_flow.record.folder import RunFolder
from metis_flow.units import format_count
from metis_flow.views.graph_drawing import graph_svg
from metis_flow.views.report import facts
from metis_flow.views.report.contents import Contents
from metis_flow.views.safe_text import safe
from metis_flow.views.values import short
from metis_flow.workflow.definition import CallDef, WorkflowDef

OUTPUT_WIDTH = 300


def run_html(folder: RunFolder) -> str:
    """How a run went: its outcome, the graph coloured by it, each step, the outputs.

    Raises:
        RecordError: the record is damaged.
    """
    contents = Contents.read(folder, texts=False)
    state = contents.state
    costs = (f"{fact.name} {fact.value}" for fact in facts.costs(state, None))
    status = f"{facts.MARKS[state.status]} {state.status}. {facts.headline(state)}"
    parts = [f"<p><b>{_text(state.name)}</b> {_text(status)}<br><small>{_text(', '.join(costs))}</small></p>"]
    if contents.graph is not None and contents.workflow is not None:
        parts.append(_picture(graph_svg(contents.workflow, contents.graph, contents.counts, direction="right")))
    rows = [
        (
            line.name,
            line.verb,
            line.counts.status,
            *_counts(line.counts.done, line.counts.failed, line.calls),
            line.span,
        )
        for line in contents.step_lines()
    ]
    parts.append(_table(("step", "what", "status", "done", "failed", "calls", "took"), rows))
    outputs = [(safe(name), short(value, OUTPUT_WIDTH)) for name, value in (state.outputs or {}).items()]
    if outputs:
        parts.append(_table(("output", "value"), outputs))
    parts.append(f"<p><small>everything: <code>metis-flow report {_text(folder.path)}</code></small></p>")
    return f"<div>{''.join(parts)}</div>"


def workflow_html(workflow: WorkflowDef) -> str:
    """What a workflow does: its description, the graph, its steps and parameters."""
    parts = [f"<p><b>{_text(workflow.name)}</b> {_text(workflow.description or '')}</p>"]
    parts.append(_picture(graph_svg(workflow, make_graph(workflow), direction="right")))
    params = [(name, param.type, short(param.default, OUTPUT_WIDTH)) for name, param in workflow.params.items()]
    if params:
        parts.append(_table(("parameter", "type", "default"), params))
    steps = [
        (name, f"{step.verb} {step.body.target}" if isinstance(step.body, CallDef) else step.verb)
        for name, step in workflow.steps.items()
    ]
    parts.append(_table(("step", "what"), steps))
    return f"<div>{''.join(parts)}</div>"


def _counts(*numbers: int) -> Iterable[str]:
    return (format_count(number) if number else "" for number in numbers)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    lines = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>"


def _picture(svg: str) -> str:
    """A drawing as a picture: its names and styles do not meet those of the notebook."""
    data = base64.b64encode(svg.encode()).decode("ascii")
    return f'<img alt="graph of the steps" style="max-width:100%" src="data:image/svg+xml;base64,{data}">'


def _text(value: object) -> str:
    return escape(safe(value))
