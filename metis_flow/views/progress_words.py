"""What is said of a run that goes on: the same words for pictures, lines and `status`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from metis_flow.units import format_count, format_duration
from metis_flow.views.causes import cause_of
from metis_flow.views.safe_text import one_line
from metis_flow.views.snapshot import Snapshot, StepSnapshot

MOST_KINDS = 6
MOST_NAMES = 4
_LABEL = 9
INDENT = " " * (_LABEL + 1)


def total(step: StepSnapshot) -> str:
    """How many instances of a step have ended, of how many."""
    return f"{format_count(step.ended)}/{'?' if step.total is None else format_count(step.total)}"


def details(step: StepSnapshot) -> str:
    """The counts that are not zero, besides those that are simply done; or what it waits for before it begins."""
    words = ("failed", "running", "retrying", "cached", "skipped")
    parts = [f"{format_count(getattr(step, word))} {word}" for word in words if getattr(step, word)]
    if step.waiting and step.status == "waiting":
        parts.append(f"waiting: {one_line(step.waiting)}")
    return ", ".join(parts)


def heading(snapshot: Snapshot) -> str:
    """The run, for how long it has been going on, and how long it will."""
    took = format_duration(snapshot.seconds)
    if snapshot.status == "submitted":
        return f"{one_line(snapshot.run)}: submitted; its job goes on with it"
    if snapshot.is_over:
        return f"{one_line(snapshot.run)}: {snapshot.status} after {took}"
    return f"{one_line(snapshot.run)}: " + "; ".join([took, *time_left(snapshot)])


def time_left(snapshot: Snapshot) -> Iterator[str]:
    """The time left, as far as the rates tell it."""
    left, unknown = snapshot.tick.get("left"), list(snapshot.tick.get("unknown") or ())
    if left is not None and any(step.ended for step in snapshot.steps):
        names = ", ".join([*map(one_line, unknown[:MOST_NAMES]), *(["…"] if unknown[MOST_NAMES:] else [])])
        yield f"about {roughly(left)} left" + (f", besides {names}" if names else "")


def roughly(seconds: float) -> str:
    """A duration to no more digits than a guess deserves.

    >>> roughly(3725)
    '1h02m'
    """
    if seconds < 60:
        return f"{max(1, round(seconds))}s"
    minutes = round(seconds / 60)
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def facts(snapshot: Snapshot) -> Iterator[str]:
    """Calls, tokens, retries, what is held up and the time limit: a line each, where there is something to say."""
    rates = {} if snapshot.is_over else snapshot.tick.get("rates") or {}
    limiter = {} if snapshot.is_over else snapshot.tick.get("limiter") or {}
    if snapshot.calls or limiter.get("in_flight") or limiter.get("waiting"):
        pace = f" ({call_rate(rates['calls'])})" if rates.get("calls") else ""
        yield labelled("calls", f"{format_count(snapshot.calls)}{pace}{places(limiter)}")
    if snapshot.tokens:
        pace = f" ({format_count(rates['tokens'])} a minute)" if rates.get("tokens") else ""
        yield labelled("tokens", f"{format_count(snapshot.tokens)}{pace}{allowance(limiter)}")
    retries: Mapping[str, int] = snapshot.tick.get("retries") or {}
    if retries:
        most = sorted(retries.items(), key=lambda item: -item[1])
        words = [f"{format_count(count)} {one_line(kind)}" for kind, count in most[:MOST_KINDS]]
        yield labelled("retries", ", ".join([*words, *(["…"] if most[MOST_KINDS:] else [])]))
    held = [step for step in snapshot.steps if step.status == "open" and step.waiting]
    if held:
        words = [f"{one_line(step.name)} ({one_line(step.waiting)})" for step in held[:MOST_NAMES]]
        yield labelled("held up", ", ".join([*words, *(["…"] if held[MOST_NAMES:] else [])]))
    deadline = snapshot.tick.get("deadline")
    if deadline is not None and not snapshot.is_over:
        yield labelled("ends by", f"{_time_of_day(deadline)}, in {roughly(max(0.0, deadline - snapshot.now))}")


def call_rate(per_second: float) -> str:
    """Calls a second, or a minute where they are few.

    >>> call_rate(0.05)
    '3.0 a minute'
    """
    return f"{per_second:,.1f} a second" if per_second >= 1 else f"{per_second * 60:.1f} a minute"


def places(limiter: Mapping[str, Any]) -> str:
    """Calls in flight of as many as may be, and what others wait for; from the fields of a `LimiterSnapshot`."""
    if not limiter or not (limiter["in_flight"] or limiter["waiting"]):
        return ""
    text = f"; {format_count(limiter['in_flight'])} of {format_count(limiter['limit'])} in flight"
    if limiter["waiting"]:
        why = limiter.get("waiting_why")
        text += f", {format_count(limiter['waiting'])} waiting" + (f" for {one_line(why)}" if why else "")
    return text


def allowance(limiter: Mapping[str, Any]) -> str:
    """Tokens charged in the present window of each model that has a limit, and the limit where it was told."""
    limits = limiter.get("allowance") or {}
    parts = []
    for model, used in (limiter.get("tokens_per_minute") or {}).items():
        of = f" of {format_count(limits[model])}" if model in limits else ""
        parts.append(f"; {one_line(model)} {format_count(used)}{of} this minute")
    return "".join(parts)


def failures(snapshot: Snapshot) -> dict[str, str]:
    """The last that failed, by their cause, of each cause only one; the newest cause comes last."""
    found: dict[str, str] = {}
    for address, summary in snapshot.tick.get("failures") or ():
        cause = cause_of(summary)
        found.pop(cause, None)
        found[cause] = labelled("failed", f"{one_line(address)}: {one_line(summary)}")
    return found


def stopping(snapshot: Snapshot) -> Iterator[str]:
    """What is said once a run is about to stop."""
    reason = snapshot.tick.get("stopping")
    if reason is not None:
        running = sum(step.running for step in snapshot.steps)
        yield (
            f"stopping ({one_line(reason)}): {format_count(running)} still running are waited for; Ctrl-C ends at once"
        )


def _time_of_day(seconds: float) -> str:
    return time.strftime("%H:%M", time.localtime(seconds))


def labelled(name: str, text: str) -> str:
    """``name: text``, with the texts of several lines below each other."""
    return f"{name + ':':<{_LABEL}} {text}"
