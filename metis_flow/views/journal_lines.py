"""A journal as lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metis_flow.plan.items import address
from metis_flow.record.usage import Usage
from metis_flow.units import format_duration
from metis_flow.views.progress_words import call_rate, roughly
from metis_flow.views.safe_text import one_line
from metis_flow.views.values import short, when

WIDTH = 160


def journal_line(entry: Mapping[str, Any]) -> str:
    """One entry on one line: the time, what it is about, what happened."""
    return f"{when(entry.get('t'))}  {one_line(_words(entry))}"


def _words(entry: Mapping[str, Any]) -> str:
    kind = entry["e"]
    describe = _WORDS.get(kind)
    if describe is not None:
        return describe(entry)
    rest = {name: value for name, value in entry.items() if name not in ("e", "t")}
    return f"{kind}: {short(rest, WIDTH)}"


def _start(entry: Mapping[str, Any]) -> str:
    word = "resumed" if entry.get("resumed") else "started"
    return f"{word} {entry.get('run')} on {entry.get('host')}, process {entry.get('pid')}"


def _step(entry: Mapping[str, Any]) -> str:
    items = entry.get("items")
    return f"{entry['step']}: begins" + ("" if items in (None, 1) else f", {items:,} in all")


def _call(entry: Mapping[str, Any]) -> str:
    problem = short(entry.get("problem"), WIDTH)
    return f"{_about(entry)}: answer {entry.get('n', 0) + 1} is not valid: {problem}{_cost(entry)}"


def _done(entry: Mapping[str, Any]) -> str:
    taken = f", from {entry['cached'].get('run')}" if entry.get("cached") else _seconds(entry)
    return f"{_about(entry)}: done{taken}{_cost(entry.get('call'))}: {short(entry.get('output'), WIDTH)}"


def _failed(entry: Mapping[str, Any]) -> str:
    word = "failed" if entry.get("final", True) else f"attempt {entry.get('attempt')} failed"
    return f"{_about(entry)}: {word}{_seconds(entry)}: {short(entry['error']['summary'], WIDTH)}"


def _skipped(entry: Mapping[str, Any]) -> str:
    return f"{_about(entry)}: skipped: {entry.get('reason')}"


def _stepdone(entry: Mapping[str, Any]) -> str:
    return f"{entry['step']}: {entry['status']}" + _reason(entry)


def _tick(entry: Mapping[str, Any]) -> str:
    """What runs, what waits for what, and how fast it goes."""
    running = ", ".join(f"{step} {count}" for step, count in entry.get("running", {}).items())
    parts = [f"running: {running or 'nothing'}"]
    waiting = ", ".join(f"{step} ({why})" for step, why in entry.get("waiting", {}).items())
    if waiting:
        parts.append(f"waiting: {waiting}")
    rates = entry.get("rates") or {}
    if rates.get("calls"):
        parts.append(f"calls: {call_rate(rates['calls'])}, tokens: {rates['tokens']:,} a minute")
    if entry.get("left") is not None:
        parts.append(f"about {roughly(entry['left'])} left")
    return "; ".join(parts)


def _outputs(entry: Mapping[str, Any]) -> str:
    missing = entry.get("missing")
    return f"outputs: {', '.join(entry['outputs']) or 'none'}" + (f"; missing: {short(missing)}" if missing else "")


def _end(entry: Mapping[str, Any]) -> str:
    return f"ended: {entry['status']}, exit code {entry.get('exit')}" + _reason(entry)


def _about(entry: Mapping[str, Any]) -> str:
    """The instance's address; an entry of a call has only its key."""
    return str(entry.get("address") or address(entry["step"], entry.get("key")))


def _reason(entry: Mapping[str, Any]) -> str:
    return f" ({entry['reason']})" if entry.get("reason") else ""


def _seconds(entry: Mapping[str, Any]) -> str:
    return f" after {format_duration(entry['t1'] - entry['t0'])}" if "t0" in entry and "t1" in entry else ""


def _cost(call: Mapping[str, Any] | None) -> str:
    tokens = Usage.of(call.get("usage")).total_tokens if call else 0
    return f", {tokens:,} tokens" if tokens else ""


_WORDS = {
    "start": _start,
    "step": _step,
    "call": _call,
    "done": _done,
    "failed": _failed,
    "skipped": _skipped,
    "stepdone": _stepdone,
    "tick": _tick,
    "outputs": _outputs,
    "end": _end,
}
