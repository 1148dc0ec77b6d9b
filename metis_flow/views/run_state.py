"""A run at a glance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO

from metis_flow.record.state import RunState, StepCounts
from metis_flow.units import format_count, format_duration
from metis_flow.views.safe_text import one_line
from metis_flow.views.tables import Column, print_table
from metis_flow.views.values import near, short, when

_RUNS = (
    Column("run"),
    Column("status"),
    Column("started"),
    Column("steps"),
    Column("calls", right=True),
    Column("time", right=True),
)
_COUNTS = ("done", "failed", "skipped", "cached", "running")


def print_runs(states: Iterable[RunState], out: TextIO) -> None:
    """A row for each run."""
    print_table(_RUNS, [_run_row(state) for state in states], out)


def print_state(state: RunState, out: TextIO) -> None:
    """The run's own facts, and a row for each step."""
    for name, value in facts(state):
        out.write(f"{name + ':':<9} {value}\n")
    if state.steps:
        out.write("\n")
        print_steps(state, out)


def print_steps(state: RunState, out: TextIO, *, indent: int = 0) -> None:
    """A row for each step that has begun; counts that are zero everywhere are left out."""
    names = [name for name in _COUNTS if name == "done" or any(getattr(step, name) for step in state.steps.values())]
    columns = [Column("step"), Column("status"), *(Column(name, right=True) for name in (*names, "of"))]
    if any(counts.reason for counts in state.steps.values()):
        columns.append(Column("why", gives_way=True))
    rows = [_step_row(step, counts, names)[: len(columns)] for step, counts in state.steps.items()]
    print_table(columns, rows, out, indent=indent)


def facts(state: RunState) -> Iterator[tuple[str, str]]:
    """Names and texts of what is known of a run as a whole."""
    yield "run", state.id
    yield "status", state.status if state.reason is None else f"{state.status} ({one_line(state.reason)})"
    yield "started", f"{when(state.started)}, on {one_line(state.host)}, process {state.pid}"
    yield "time", format_duration(state.seconds)
    yield "calls", calls(state)
    if state.limiter:
        yield "in flight", limiter_text(state.limiter)
    for step, reason in state.waiting.items():
        yield "waiting", f"{step}: {one_line(reason)}"
    yield "record", near(state.path)


def calls(state: RunState) -> str:
    """Calls and tokens, as text."""
    usage = state.usage
    text = f"{format_count(state.calls)}, {format_count(usage.total_tokens)} tokens"
    if state.calls:
        text += f" ({format_count(usage.prompt_tokens)} in, {format_count(usage.completion_tokens)} out)"
    return f"{text}; {format_count(state.cached)} results from earlier runs" if state.cached else text


def limiter_text(limiter: Mapping[str, Any]) -> str:
    """The fields of a `LimiterSnapshot`, in a few words."""
    text = f"{limiter['in_flight']} of {limiter['limit']}"
    if limiter["waiting"]:
        why = limiter.get("waiting_why")
        text += f", {format_count(limiter['waiting'])} waiting" + (f" for {one_line(why)}" if why else "")
    used = limiter.get("tokens_per_minute") or {}
    return text + "".join(
        f"; {one_line(model)} {format_count(tokens)} tokens this minute" for model, tokens in used.items()
    )


def state_as_json(state: RunState) -> dict[str, Any]:
    """The document of ``status --json``: that of ``run --json``, and what else is known of a run that goes on."""
    document = state.as_json()
    for name, counts in state.steps.items():
        more = {"status": counts.status, "reason": counts.reason, "items": counts.items, "running": counts.running}
        document["steps"][name].update(more)
    names = ("name", "started", "ended", "reason", "host", "pid", "missing", "waiting", "limiter")
    return document | {name: getattr(state, name) for name in names} | {"exit": state.exit_code}


def _run_row(state: RunState) -> tuple[object, ...]:
    return (
        state.id,
        state.status,
        when(state.started),
        _step_words(state),
        format_count(state.calls),
        format_duration(state.seconds),
    )


def _step_words(state: RunState) -> str:
    statuses = [counts.status for counts in state.steps.values()]
    kinds = [(statuses.count(status), status) for status in ("done", "failed", "skipped", "running", "stopped")]
    return ", ".join(f"{count} {status}" for count, status in kinds if count)


def _step_row(name: str, counts: StepCounts, columns: Iterable[str]) -> tuple[object, ...]:
    numbers = [getattr(counts, column) for column in columns]
    texts = [format_count(number) if number else "" for number in numbers]
    of = "?" if counts.items is None and counts.status == "running" else counts.items
    total = format_count(of) if isinstance(of, int) else of
    return name, counts.status, *texts, total, None if counts.reason is None else short(counts.reason)
