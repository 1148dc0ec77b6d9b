"""A run at a glance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from metis_flow.record.ownership import Holder
from metis_flow.record.state import RunState, StepCounts
from metis_flow.units import format_count, format_duration
from metis_flow.views.progress_words import labelled
from metis_flow.views.safe_text import one_line
from metis_flow.views.snapshot import snapshot_of_state
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
_TOLD = ("rates", "retrying", "retries", "failures", "left", "unknown", "deadline", "stopping", "notes")
LATE_SECONDS = 15.0
"""A driver tells how it goes every 5 seconds; what is older than this is said to be old."""


def print_runs(states: Iterable[RunState], out: TextIO) -> None:
    """A row for each run."""
    print_table(_RUNS, [_run_row(state) for state in states], out)


def print_facts(state: RunState, out: TextIO) -> None:
    """The run's own facts, and a row for each step."""
    out.writelines(f"{labelled(name, value)}\n" for name, value in facts(state))
    if state.steps:
        out.write("\n")
        print_steps(state, out)


def print_status(state: RunState, holder: Holder | None, out: TextIO) -> None:
    """How far a run is: who drives it, and the picture that its own terminal shows.

    Args:
        holder: who drives it, or drove it last.
    """
    from metis_flow.views.progress_live import print_picture

    snapshot = snapshot_of_state(state)
    out.writelines(f"{labelled(name, value)}\n" for name, value in _driver_facts(state, holder, snapshot.now))
    out.write("\n")
    print_picture(snapshot, out)


def _driver_facts(state: RunState, holder: Holder | None, now: float) -> Iterator[tuple[str, str]]:
    yield "run", state.id
    yield from _status(state)
    if state.status == "running":
        if holder is not None:
            seen = format_duration(max(0.0, now - holder.touched))
            yield "driver", f"{one_line(holder.who())}, last sign of life {seen} ago"
        told = state.tick.get("t")
        if told is not None and now - told > LATE_SECONDS:
            yield "told", f"{format_duration(now - told)} ago; what runs and waits is as it was then"
    if state.started is not None:
        yield "started", when(state.started)
    if state.ended is not None:
        yield "ended", when(state.ended) + ("" if state.exit_code is None else f", exit code {state.exit_code}")
    if state.status == "died" and state.started is not None:
        yield "silent", f"since {when(state.started + state.seconds)}"
    if state.cached:
        yield "cached", f"{format_count(state.cached)} results from earlier runs"
    yield "record", near(state.path)


def _status(state: RunState) -> Iterator[tuple[str, str]]:
    yield "status", state.status if state.reason is None else f"{state.status} ({one_line(state.reason)})"
    if state.status == "died" and state.pid is not None:
        yield (
            "because",
            f"process {state.pid} on {one_line(state.host)} ended without a word, and nobody drives the run",
        )


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
    yield from _status(state)
    if state.started is not None:
        yield "started", f"{when(state.started)}, on {one_line(state.host)}, process {state.pid}"
    yield "time", format_duration(state.seconds)
    yield "calls", calls(state)
    yield "record", near(state.path)


def calls(state: RunState) -> str:
    """Calls and tokens, as text."""
    usage = state.usage
    text = f"{format_count(state.calls)}, {format_count(usage.total_tokens)} tokens"
    if state.calls:
        text += f" ({format_count(usage.prompt_tokens)} in, {format_count(usage.completion_tokens)} out)"
    return f"{text}; {format_count(state.cached)} results from earlier runs" if state.cached else text


def state_as_json(state: RunState) -> dict[str, Any]:
    """The document of ``status --json``: that of ``run --json``, and what else is known of a run that goes on."""
    document = state.as_json()
    for name, counts in state.steps.items():
        more = {"status": counts.status, "reason": counts.reason, "items": counts.items, "running": counts.running}
        document["steps"][name].update(more)
    names = ("name", "started", "ended", "reason", "hint", "host", "pid", "missing", "waiting", "limiter")
    told = {name: state.tick[name] for name in _TOLD if name in state.tick}
    return document | {name: getattr(state, name) for name in names} | told | {"exit": state.exit_code}


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
