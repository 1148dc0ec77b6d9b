"""The steps of a workflow and what they wait for, as SVG: alone, in a page, with or without a run's outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Literal

from metis_flow.plan.graph import Edge, EdgeKind, Graph
from metis_flow.record.state import StepCounts
from metis_flow.units import format_count
from metis_flow.views.graph_layout import Point, edge_routes, lay_out
from metis_flow.views.graph_text import each_of, verb_of
from metis_flow.views.safe_text import one_line
from metis_flow.workflow.definition import StepDef, WorkflowDef

Direction = Literal["right", "down"]

BOX = (190.0, 74.0)
GAP_ALONG = {"right": 52.0, "down": 40.0}
GAP_ACROSS = {"right": 22.0, "down": 26.0}
MARGIN = 10.0
NAME_WIDTH = 21
LINE_WIDTH = 25

SYMBOLS = {"done": "✓", "failed": "✗", "skipped": "\N{EN DASH}", "running": "…", "stopped": "■", "waiting": "○"}
_WORDS: dict[EdgeKind, str] = {"one": "", "item": "item by item", "gather": "", "needs": "needs"}

# A drawing that stands alone brings its own colours; in a page they are the page's.
_STYLE = """\
svg{--ink:#1c2430;--soft:#5a6675;--line:#8b96a5;--paper:#fff;--done:#1a7f4b;--failed:#c22f2f;--skipped:#6a7280;\
--running:#9a6200;font-family:system-ui,sans-serif}
@media (prefers-color-scheme:dark){svg{--ink:#e6eaf0;--soft:#a4afbd;--line:#6d7987;--paper:#161b22;--done:#4cc38a;\
--failed:#ff8080;--skipped:#98a2b0;--running:#e3b341}}
"""
GRAPH_STYLE = """\
.g-box{fill:var(--paper);stroke:var(--line);stroke-width:1.2}
.g-name{font-size:14px;font-weight:600;fill:var(--ink)}
.g-line{font-size:12px;fill:var(--soft)}
.g-edge{fill:none;stroke:var(--line);stroke-width:1.5}
.g-edge.item{stroke-width:3}
.g-edge.needs{stroke-dasharray:5 4}
.g-word{font-size:11px;fill:var(--soft);stroke:var(--paper);stroke-width:4;paint-order:stroke}
.g-head{fill:var(--line)}
.g-bar{fill:var(--line);opacity:.35}
.g-done .g-box{stroke:var(--done)}.g-failed .g-box{stroke:var(--failed);stroke-width:2.2}
.g-skipped .g-box{stroke:var(--skipped);stroke-dasharray:4 3}.g-running .g-box,.g-stopped .g-box{stroke:var(--running)}
.g-mark{font-size:14px;font-weight:700}
.g-done .g-mark,.g-part-done{fill:var(--done)}.g-failed .g-mark,.g-part-failed{fill:var(--failed)}
.g-skipped .g-mark,.g-part-skipped{fill:var(--skipped)}.g-running .g-mark,.g-stopped .g-mark{fill:var(--running)}
a:hover .g-box,a:focus .g-box{stroke-width:3}
"""


def graph_svg(
    workflow: WorkflowDef,
    graph: Graph,
    counts: Mapping[str, StepCounts] | None = None,
    *,
    direction: Direction = "down",
) -> str:
    """A drawing that stands alone: an SVG document with its own colours, for light and dark pages.

    Args:
        counts, direction: as for `draw_graph`.
    """
    drawing = draw_graph(workflow, graph, counts, direction=direction)
    head, rest = drawing.split(">", 1)
    style = f"{_STYLE}{GRAPH_STYLE}".replace("\n", "")
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{rest}\n'


def draw_graph(
    workflow: WorkflowDef,
    graph: Graph,
    counts: Mapping[str, StepCounts] | None = None,
    *,
    direction: Direction = "right",
    links: str | None = None,
) -> str:
    """The ``<svg>`` element of a graph, coloured by classes that `GRAPH_STYLE` defines.

    Args:
        counts: how far each step is, for a run; steps that are not there have not begun. None for a plan.
        direction: whether layers follow each other to the right or downwards.
        links: what a step's link begins with, before its name; None for no links.
    """
    layout = lay_out(graph)
    frame = _Frame(direction, layout.length, layout.breadth)
    marker = f"g-head-{direction}"
    parts = [
        f'<defs><marker id="{marker}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9" '
        'markerUnits="userSpaceOnUse" orient="auto"><path class="g-head" d="M0 1L10 5L0 9z"/></marker></defs>'
    ]
    words: list[str] = []
    for edge, route in edge_routes(graph, layout):
        path, word = _edge(edge, frame, route, marker)
        parts.append(path)
        words.append(word)
    for name in graph.order:
        step = workflow.steps[name]
        own = None if counts is None else counts.get(name, StepCounts(status="waiting"))
        parts += _node(step, own, frame.at(layout.steps[name]), links)
    title = escape(f"Graph of {one_line(workflow.name)}: {len(graph.order)} steps")
    size = f'viewBox="0 0 {frame.width:g} {frame.height:g}" width="{frame.width:g}" height="{frame.height:g}"'
    return f'<svg {size} role="group" aria-label="{title}">{"".join(parts)}{"".join(words)}</svg>'


class _Frame:
    """From places in steps to places on paper."""

    def __init__(self, direction: Direction, length: int, breadth: float) -> None:
        self.right = direction == "right"
        self.box_along, self.box_across = BOX if self.right else (BOX[1], BOX[0])
        self._along = self.box_along + GAP_ALONG[direction]
        self._across = self.box_across + GAP_ACROSS[direction]
        along = length * self._along - GAP_ALONG[direction] + 2 * MARGIN
        across = breadth * self._across - GAP_ACROSS[direction] + 2 * MARGIN
        self.width, self.height = (along, across) if self.right else (across, along)

    def at(self, point: Point) -> Point:
        """The place of a point, as x and y."""
        along = MARGIN + point[0] * self._along + self.box_along / 2
        across = MARGIN + (point[1] - 0.5) * self._across + self.box_across / 2
        return (along, across) if self.right else (across, along)

    def shifted(self, point: Point, along: float) -> Point:
        """A place on paper, so much further along."""
        return (point[0] + along, point[1]) if self.right else (point[0], point[1] + along)

    def bend(self, first: Point, second: Point) -> str:
        """A curve from one place to another that leaves and arrives along."""
        if self.right:
            middle = (first[0] + second[0]) / 2
            return f"C{_n(middle)} {_n(first[1])} {_n(middle)} {_n(second[1])} {_n(second[0])} {_n(second[1])}"
        middle = (first[1] + second[1]) / 2
        return f"C{_n(first[0])} {_n(middle)} {_n(second[0])} {_n(middle)} {_n(second[0])} {_n(second[1])}"


def _edge(edge: Edge, frame: _Frame, route: Sequence[Point], marker: str) -> tuple[str, str]:
    """The line of an edge, and the word on it."""
    places = [frame.at(point) for point in route]
    half = frame.box_along / 2
    places[0], places[-1] = frame.shifted(places[0], half), frame.shifted(places[-1], -half)
    path = f"M{_n(places[0][0])} {_n(places[0][1])}"
    here = places[0]
    for place in places[1:-1]:
        entry, leave = frame.shifted(place, -half), frame.shifted(place, half)
        path += f"{frame.bend(here, entry)}L{_n(leave[0])} {_n(leave[1])}"
        here = leave
    path += frame.bend(here, places[-1])
    line = f'<path class="g-edge {edge.kind}" marker-end="url(#{marker})" d="{path}"/>'
    word = _WORDS[edge.kind]
    if not word or frame.right:  # to the right there is no room between the boxes: the line itself must tell
        return f"{line[:-2]}><title>{escape(f'{edge.target} waits for {edge.source}')}</title></path>", ""
    x, y = (here[0] + places[-1][0]) / 2, (here[1] + places[-1][1]) / 2
    return line, f'<text class="g-word" text-anchor="middle" x="{_n(x)}" y="{_n(y + 3)}">{word}</text>'


def _node(step: StepDef, counts: StepCounts | None, centre: Point, links: str | None) -> Iterator[str]:
    width, height = BOX
    x, y = centre[0] - width / 2, centre[1] - height / 2
    status = "plan" if counts is None else counts.status
    if links is not None:
        yield f'<a href="{escape(links + step.name)}" data-step="{escape(step.name)}">'
    yield f'<g class="g-{status}" transform="translate({_n(x)} {_n(y)})">'
    name = one_line(step.name)
    yield f"<title>{escape(name if counts is None else f'{name}: {counts.status}, {tally(counts)}')}</title>"
    if step.is_fan_out:
        yield f'<rect class="g-box" x="5" y="-5" width="{width - 5:g}" height="{height:g}" rx="8"/>'
        width -= 5
    yield f'<rect class="g-box" width="{width:g}" height="{height:g}" rx="8"/>'
    yield f'<text class="g-name" x="12" y="23">{escape(one_line(step.name, NAME_WIDTH))}</text>'
    if counts is not None:
        yield f'<text class="g-mark" text-anchor="end" x="{width - 12:g}" y="23">{SYMBOLS.get(status, "")}</text>'
    yield f'<text class="g-line" x="12" y="42">{escape(one_line(verb_of(step), LINE_WIDTH))}</text>'
    if counts is not None:
        yield f'<text class="g-line" x="12" y="58">{escape(one_line(tally(counts), LINE_WIDTH))}</text>'
        yield from _bar(counts, width)
    elif step.is_fan_out:
        yield f'<text class="g-line" x="12" y="60">{escape(one_line(f"for each {each_of(step)}", LINE_WIDTH))}</text>'
    yield "</g>"
    if links is not None:
        yield "</a>"


def _bar(counts: StepCounts, width: float) -> Iterator[str]:
    """How much of a step is done, failed and skipped."""
    ended = {"done": counts.done, "failed": counts.failed, "skipped": counts.skipped}
    total = max(counts.items or 0, sum(ended.values()))
    room = width - 24
    yield f'<rect class="g-bar" x="12" y="64" width="{_n(room)}" height="4" rx="2"/>'
    x = 12.0
    for kind, count in ended.items():
        if count:
            part = room * count / total
            yield f'<rect class="g-part-{kind}" x="{_n(x)}" y="64" width="{_n(part)}" height="4" rx="1"/>'
            x += part


def tally(counts: StepCounts) -> str:
    """How many instances ended how, in words."""
    if counts.status == "waiting":
        return "not begun"
    parts = [
        f"{format_count(number)} {word}"
        for word in ("done", "failed", "skipped", "running")
        if (number := getattr(counts, word))
    ]
    text = ", ".join(parts) or "nothing yet"
    ended = counts.done + counts.failed + counts.skipped
    return f"{text} of {format_count(counts.items)}" if counts.items is not None and counts.items > ended else text


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
