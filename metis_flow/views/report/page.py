"""The page: its parts as HTML, its data compressed, its script allowed by a hash and nothing else allowed."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from metis_flow.record.folder import RunFolder
from metis_flow.units import format_count, format_duration, format_size
from metis_flow.views.graph_drawing import GRAPH_STYLE, draw_graph
from metis_flow.views.report import facts
from metis_flow.views.report.charts import latency_bars, stacked_bars
from metis_flow.views.report.contents import Contents
from metis_flow.views.report.gather import Row
from metis_flow.views.report.outputs import Pictures, Shown, show_outputs
from metis_flow.views.report.series import latencies, throughput, tokens_a_minute
from metis_flow.views.report.texts import Chosen
from metis_flow.views.safe_text import one_line, safe
from metis_flow.views.values import short

if TYPE_CHECKING:
    from jinja2 import Environment

    from metis_flow.views.failures import Failure

PAGE_BYTES = 4_700_000
TEXT_BYTES = 3_600_000
LIVE_PICTURES = 2_000_000
PICTURES_SHOWN = 60
GROUPS_SHOWN = 25
GROUPS_UNFOLDED = 3
CHARTS_FROM = 8
"""Calls or instances below which a chart says less than the table."""

_ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = ("data.js", "diff.js", "table.js", "timeline.js", "detail.js", "page.js")
PARTS = ("outcome", "failures", "outputs", "steps", "rates", "lock")
"""The parts that a live page replaces while a run goes on."""


def report_html(folder: RunFolder) -> str:
    """A run as one HTML file that needs nothing else.

    Raises:
        RecordError: the record is damaged.
    """
    contents = Contents.read(folder)
    chosen = contents.gathered.texts.choose(TEXT_BYTES)
    rows = packed(contents.table(chosen.places))
    parts, room = [], Pictures(PAGE_BYTES - sum(map(len, chosen.chunks)) - len(rows))
    parts = [render_part(name, contents, room) for name in PARTS]
    meta = {"run": safe(folder.id), "record": safe(str(folder.path)), "live": None}
    return _assemble(contents, parts, meta=meta, rows=rows, chosen=chosen)


def live_html(contents: Contents, *, version: str) -> str:
    """The same page, fed by a server: texts are asked for one by one, and a run that goes on is asked for again.

    Args:
        version: of what is shown, for the first question after news.
    """
    pictures = Pictures(LIVE_PICTURES)
    parts = [render_part(name, contents, pictures) for name in PARTS]
    live = {"version": version, "running": contents.state.status == "running"}
    meta = {"run": safe(contents.folder.id), "record": safe(str(contents.folder.path)), "live": live}
    rows = packed(contents.table({}))
    return _assemble(contents, parts, meta=meta, rows=rows, chosen=Chosen((), {}, 0), home="../../")


def live_news(contents: Contents, *, version: str) -> dict[str, Any]:
    """What takes the place of what a live page shows."""
    pictures = Pictures(LIVE_PICTURES)
    return {
        "version": version,
        "running": contents.state.status == "running",
        "title": _title(contents),
        "parts": {name: render_part(name, contents, pictures) for name in PARTS},
        "rows": packed(contents.table({})),
    }


def render_part(name: str, contents: Contents, pictures: Pictures) -> str:
    """One part of the page."""
    return templates().get_template(f"{name}.html").render(**_VALUES[name](contents, pictures))


def packed(value: Any) -> str:
    """A JSON value as base64 of gzip."""
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode("ascii")


def script_text(*names: str) -> str:
    """Script files as one script."""
    body = "\n".join((_ASSETS / name).read_text(encoding="utf-8") for name in names)
    return f'"use strict";\n(() => {{\n{body}}})();\n'


def style_text() -> str:
    """The page's style."""
    return (_ASSETS / "report.css").read_text(encoding="utf-8") + GRAPH_STYLE


def policy(script: str, *, connect: str = "'none'") -> str:
    """What the page may do: run this script, show pictures that it holds itself; ask `connect` and nobody else."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def _assemble(
    contents: Contents, parts: list[str], *, meta: Mapping[str, Any], rows: str, chosen: Chosen, home: str | None = None
) -> str:
    live = meta["live"] is not None
    script = script_text(*_SCRIPTS)
    whole = len(contents.gathered.rows)
    return (
        templates()
        .get_template("page.html")
        .render(
            title=_title(contents),
            style=style_text(),
            script=script,
            policy=policy(script, connect="'self'" if live else "'none'"),
            parts=dict(zip(PARTS, parts, strict=True)),
            meta=json.dumps(meta).replace("<", "\\u003c"),
            rows=rows,
            chunks=chosen.chunks,
            sampled=_sampled(whole, chosen) if not live else "",
            home=home,
            steps=[one_line(name) for name in contents.step_names],
        )
    )


def _title(contents: Contents) -> str:
    state = contents.state
    return f"{facts.MARKS[state.status]} {one_line(state.name)}, {state.status}"


def _sampled(whole: int, chosen: Chosen) -> str:
    """What of the full texts is not in the page; empty where all of it is."""
    said = ""
    if len(chosen.places) < whole:
        said = (
            f"This page holds the full texts of {format_count(len(chosen.places))} of {format_count(whole)} instances: "
            "failures first, then those asked more than once, then an even sample. The record has them all."
        )
    if chosen.cut:
        said += f" Very long texts of {format_count(chosen.cut)} instances are cut."
    return said.strip()


def _outcome(contents: Contents, pictures: Pictures) -> dict[str, Any]:
    state, lock = contents.state, contents.lock
    return {
        "name": one_line(state.name),
        "description": safe(contents.workflow.description or "") if contents.workflow is not None else "",
        "id": safe(state.id),
        "status": state.status,
        "look": "partly"
        if state.status == "done" and any(counts.failed for counts in state.steps.values())
        else state.status,
        "mark": facts.MARKS[state.status],
        "headline": safe(facts.headline(state)),
        "failures": any(trouble["e"] == "failed" for trouble in contents.gathered.troubles),
        "reason": one_line(state.reason) if state.reason and state.status == "died" else "",
        "facts": list(facts.costs(state, lock)),
        "rerun": facts.rerun_command(lock, contents.workflow) if lock is not None else None,
        "next": facts.next_command(state, contents.folder),
        "waiting": [(one_line(step), one_line(why)) for step, why in state.waiting.items()],
    }


def _failures(contents: Contents, pictures: Pictures) -> dict[str, Any]:
    from metis_flow.views.failures import find_failures

    failures = find_failures(contents.gathered.troubles)
    examples = {safe(group.address) for group in failures.groups[:GROUPS_SHOWN]}
    rows = {row.address: row for row in contents.gathered.rows if row.address in examples}
    shown = [
        {
            "count": group.count,
            "who": _who(group, rows.get(safe(group.address))),
            "step": one_line(next(iter(group.steps))),
            "cause": _clipped(group.cause if group.count > 1 else group.summary, 600),
            "summary": _clipped(group.summary, 600),
            "address": safe(group.address),
            "link": instance_link(group.address),
            "hint": _clipped(group.error.get("hint") or "", 2000),
            "detail": _detail(group.error.get("detail") or "", contents.gathered.said.get(safe(group.address), "")),
            "said": contents.gathered.said.get(safe(group.address), ""),
            "answers": rows[safe(group.address)].calls if safe(group.address) in rows else 0,
        }
        for group in failures.groups[:GROUPS_SHOWN]
    ]
    followed = [
        {
            "step": one_line(found.step),
            "what": " and ".join(
                f"{format_count(number)} {word}"
                for number, word in ((found.failed, "failed"), (found.skipped, "skipped"))
                if number
            ),
            "roots": ", ".join(map(one_line, found.roots)),
        }
        for found in failures.consequences
    ]
    more = len(failures.groups) - len(shown)
    return {"groups": shown, "more_groups": more, "followed": followed, "unfolded": GROUPS_UNFOLDED}


def _who(group: Failure, example: Row | None) -> str:
    """What failed so: the item by the key that its data has, or how many of each step."""
    steps = ", ".join(f"{format_count(number)} of {one_line(step)}" for step, number in group.steps.items())
    item = f"item {example.key}" if example is not None and example.key is not None else ""
    if group.count == 1:
        step = one_line(next(iter(group.steps)))
        return f"{item} of the step {step}" if item else f"the step {step}"
    return f"{steps}, {item} among them" if item else steps


def _detail(detail: str, said: str) -> str:
    """What else is known of a failure; nothing where that only begins with what the model said."""
    told = " ".join(safe(detail).partition(": ")[2].rstrip("…").split())
    return "" if told and " ".join(said.split()).startswith(told) else _clipped(detail, 8000)


def _outputs(contents: Contents, pictures: Pictures) -> dict[str, Any]:
    state, folder = contents.state, contents.folder
    shown = show_outputs(state.outputs or {}, folder, pictures)
    in_outputs = {part.note.split(", ")[0].rsplit("/", 1)[-1] for part in shown if part.kind == "image"}
    made: list[Shown] = []
    left_out = 0
    for file in contents.gathered.files:
        if file.media is None or file.name in in_outputs:
            continue
        picture = pictures.take(file) if len(made) < PICTURES_SHOWN else None
        if picture is None:
            left_out += 1
        else:
            made.append(
                Shown(safe(file.address), "image", picture, note=f"{safe(file.name)}, {format_size(file.size)}")
            )
    missing = [(one_line(name), one_line(why)) for name, why in state.missing.items()]
    return {
        "outputs": shown,
        "missing": missing,
        "pictures": made,
        "left_out": left_out,
        "link": instance_link,
        "running": state.status == "running",
    }


def _steps(contents: Contents, pictures: Pictures) -> dict[str, Any]:
    lines = contents.step_lines()
    drawings = []
    if contents.graph is not None and contents.workflow is not None:
        for direction in ("right", "down"):
            drawing = draw_graph(
                contents.workflow,
                contents.graph,
                contents.counts,
                direction=direction,
                links="#step-",
            )
            drawings.append((direction, drawing))
    columns = [
        name for name in ("failed", "skipped", "cached", "running") if any(getattr(x.counts, name) for x in lines)
    ]
    reasons = any(line.counts.reason for line in lines)
    return {"lines": lines, "drawings": drawings, "columns": columns, "reasons": reasons, "short": short}


def _rates(contents: Contents, pictures: Pictures) -> dict[str, Any]:
    gathered, state = contents.gathered, contents.state
    seconds = max([row.ended - contents.started for row in gathered.rows if row.ended is not None], default=0.0)
    seconds = max(seconds, min(state.seconds, seconds * 1.2))
    ran = sum(row.ended is not None for row in gathered.rows)
    charts: list[tuple[str, str, list[tuple[str, str]]]] = []
    if ran >= CHARTS_FROM and seconds > 0:
        ended = throughput(gathered.rows, contents.started, seconds)
        title = f"Instances that ended, per {format_duration(ended.width)}"
        charts.append((title, stacked_bars(ended, "instances", title), [("done", "done"), ("failed", "failed")]))
    if len(gathered.calls) >= CHARTS_FROM and seconds > 0:
        tokens = tokens_a_minute(gathered.calls, contents.started, seconds)
        title = "Tokens a minute"
        charts.append((title, stacked_bars(tokens, "tokens a minute", title), [("in", "prompts"), ("out", "answers")]))
    found = latencies(gathered.calls)
    for latency in found[:4]:
        if latency.count >= CHARTS_FROM:
            title = f"Time that a call took: {one_line(latency.model)}"
            charts.append((title, latency_bars(latency, title), [("calls", "calls"), ("mark", "50 % and 90 % line")]))
    return {"charts": charts, "latencies": found, "duration": format_duration}


def _lock(contents: Contents, pictures: Pictures) -> dict[str, Any]:
    return {
        "tables": facts.provenance(contents.lock) if contents.lock is not None else [],
        "workflow": contents.workflow_text(),
        "record": safe(str(contents.folder.path)),
    }


def _clipped(text: str, width: int) -> str:
    return safe(text if len(text) <= width else f"{text[:width]}…")


def instance_link(address: str) -> str:
    """The link to an instance, within the page."""
    return "#i=" + quote(safe(address), safe="@")


_VALUES = {
    "outcome": _outcome,
    "failures": _failures,
    "outputs": _outputs,
    "steps": _steps,
    "rates": _rates,
    "lock": _lock,
}


@lru_cache(maxsize=1)
def templates() -> Environment:
    """Templates in which every value is escaped, but those that are marked as made by this package."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = format_count
    return environment
