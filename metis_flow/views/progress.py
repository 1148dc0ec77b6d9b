"""A run's progress while it goes on: a picture on a terminal, lines anywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Protocol, TextIO

from metis_flow.engine.progress import Progress, StepProgress
from metis_flow.units import format_count, format_duration
from metis_flow.views.run_state import limiter_text
from metis_flow.views.safe_text import one_line

ENDED = ("done", "failed", "skipped")


class ProgressView(Protocol):
    """Shows the counts of a run, which change as it goes on."""

    def start(self, progress: Progress) -> None:
        """Begin to show them; returns at once."""

    def stop(self) -> None:
        """Show how they are in the end, and no more. Harmless where nothing was started."""


def progress_view(out: TextIO, environment: Mapping[str, str]) -> ProgressView:
    """The view that suits a stream: live on a terminal, unless NO_COLOR, CI or TERM=dumb say otherwise."""
    if wants_picture(out, environment):
        from metis_flow.views.progress_live import LiveProgress

        return LiveProgress(out)
    from metis_flow.views.progress_lines import ProgressLines

    return ProgressLines(out)


def wants_picture(out: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a stream is a terminal on which lines may be drawn again."""
    if environment.get("NO_COLOR") or environment.get("CI") or environment.get("TERM") == "dumb":
        return False
    return out.isatty()


def total(step: StepProgress) -> str:
    """How many instances of a step have ended, of how many."""
    ended = step.done + step.failed + step.skipped
    return f"{format_count(ended)}/{'?' if step.total is None else format_count(step.total)}"


def details(step: StepProgress) -> str:
    """The counts that are not zero, besides those that are simply done."""
    words = ("running", "failed", "skipped", "cached")
    counts = [(getattr(step, word), word) for word in words]
    return ", ".join(f"{format_count(count)} {word}" for count, word in counts if count)


def totals(progress: Progress) -> str:
    """Calls, tokens and time of the run so far."""
    parts = [format_duration(progress.seconds)]
    if progress.calls:
        parts = [f"{format_count(progress.calls)} calls", f"{format_count(progress.usage.total_tokens)} tokens", *parts]
    return ", ".join(parts)


def in_flight(progress: Progress) -> Iterator[str]:
    """How the limiter of calls stands, where calls are out or wait."""
    snapshot = progress.limiter()
    if snapshot is not None and (snapshot.in_flight or snapshot.waiting):
        yield f"in flight: {limiter_text(asdict(snapshot))}"


def stopping(progress: Progress) -> Iterator[str]:
    """What is said once a run is about to stop."""
    if progress.stopping is not None:
        running = sum(step.running for step in progress.steps.values())
        yield (
            f"stopping ({one_line(progress.stopping)}): {format_count(running)} still running are waited for; "
            "Ctrl-C ends at once"
        )
