"""The steps of a workflow and what they wait for, as text that Mermaid or Graphviz draws."""

from __future__ import annotations

from collections.abc import Iterator

from metis_flow.plan.graph import EdgeKind, Graph
from metis_flow.views.safe_text import one_line
from metis_flow.workflow.definition import CallDef, StepDef, WorkflowCallDef, WorkflowDef

LABEL_WIDTH = 60
WORDS: dict[EdgeKind, str] = {"one": "", "item": "item by item", "gather": "all of it", "needs": "needs"}

_MERMAID_ARROWS: dict[EdgeKind, str] = {"one": "-->", "item": "==>", "gather": "-->", "needs": "-.->"}
_DOT_STYLES: dict[EdgeKind, str] = {"one": "solid", "item": "bold", "gather": "solid", "needs": "dashed"}
# Mermaid reads `#…;` as a character, and some of HTML.
_MERMAID_CODES = str.maketrans({char: f"#{ord(char)};" for char in '#"<>&`\\;'})


def mermaid(workflow: WorkflowDef, graph: Graph) -> str:
    """A Mermaid flowchart. Fan-outs stand in double frames; thick arrows go item by item."""
    return "\n".join(["flowchart TD", *(f"    {line}" for line in _mermaid_lines(workflow, graph))]) + "\n"


def dot(workflow: WorkflowDef, graph: Graph) -> str:
    """A Graphviz digraph, drawn as `mermaid` does."""
    lines = [f"digraph {_quoted(workflow.name)} {{", '    node [shape=box, fontname="sans-serif"];']
    for name in graph.order:
        step = workflow.steps[name]
        frames = ", peripheries=2" if step.is_fan_out else ""
        lines.append(f"    {_quoted(name)} [label={_quoted(*_label(step))}{frames}];")
    for edge in graph.edges:
        label = f", label={_quoted(WORDS[edge.kind])}" if WORDS[edge.kind] else ""
        style = _DOT_STYLES[edge.kind]
        lines.append(f"    {_quoted(edge.source)} -> {_quoted(edge.target)} [style={style}{label}];")
    return "\n".join([*lines, "}"]) + "\n"


def target_of(step: StepDef) -> str | None:
    """The function, task or workflow file that a step calls; None for other steps."""
    return step.body.target if isinstance(step.body, CallDef | WorkflowCallDef) else None


def verb_of(step: StepDef) -> str:
    """What a step does, such as ``chat`` or ``uses read_rows``."""
    target = target_of(step)
    return step.verb if target is None else f"{step.verb} {target}"


def each_of(step: StepDef) -> str:
    """What tells the instances of a fan-out apart: the item's name, the axes of the matrix, ``repeat``."""
    axes = [] if step.matrix is None else [name for name, _ in step.matrix.axes] or ["combination"]
    repeat = [] if step.repeat is None else ["repeat"]
    return ", ".join([*([] if step.foreach is None else [step.item]), *axes, *repeat])


def _mermaid_lines(workflow: WorkflowDef, graph: Graph) -> Iterator[str]:
    # A step may be called `end` or `style`, which are words of Mermaid's own.
    for name in graph.order:
        step = workflow.steps[name]
        text = "<br/>".join(part.translate(_MERMAID_CODES) for part in _label(step))
        yield f's_{name}[["{text}"]]' if step.is_fan_out else f's_{name}["{text}"]'
    for edge in graph.edges:
        label = f'|"{WORDS[edge.kind]}"|' if WORDS[edge.kind] else ""
        yield f"s_{edge.source} {_MERMAID_ARROWS[edge.kind]}{label} s_{edge.target}"


def _label(step: StepDef) -> list[str]:
    parts = [step.name, one_line(verb_of(step), LABEL_WIDTH)]
    return [*parts, one_line(f"for each {each_of(step)}", LABEL_WIDTH)] if step.is_fan_out else parts


def _quoted(*lines: str) -> str:
    r"""A string of Graphviz: ``\n`` between lines; backslashes, quotes and entities as they are."""
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") for line in lines)
    return '"' + "\\n".join(escaped) + '"'
