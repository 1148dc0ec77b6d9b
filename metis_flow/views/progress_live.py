"""Progress as a picture on a terminal: a bar a step, drawn again and again in its place."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from metis_flow.engine.progress import Progress, StepProgress
from metis_flow.views.progress import ENDED, details, in_flight, stopping, total, totals
from metis_flow.views.safe_text import one_line

BAR_WIDTH = 20
NAME_WIDTH = 20
NOTES = 3
FRAMES_PER_SECOND = 5
_CHARS = "━─"
_ASCII_CHARS = "#-"
OTHER_LINES = 8
"""Lines besides those of steps, and some of what stood on the screen before."""

_SEGMENTS = (
    ("cached", "cyan"),
    ("done", "green"),
    ("failed", "red"),
    ("skipped", "bright_black"),
    ("running", "yellow"),
)


class LiveProgress:
    """Draws the counts until it is stopped, and then takes the picture away.

    Args:
        out: a terminal.
    """

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, markup=False, highlight=False, emoji=False)
        self._live: Live | None = None

    def start(self, progress: Progress) -> None:
        """Begin to draw."""
        self._live = Live(
            console=self._console,
            get_renderable=lambda: picture(progress, self._console),
            refresh_per_second=FRAMES_PER_SECOND,
            transient=True,
        )
        self._live.start(refresh=True)

    def stop(self) -> None:
        """Take the picture away."""
        if self._live is not None:
            self._live.stop()


def picture(progress: Progress, console: Console) -> RenderableType:
    """One frame."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=NAME_WIDTH)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(no_wrap=True, overflow="ellipsis")
    steps, left_out = _shown(list(progress.steps.values()), max(3, console.height - OTHER_LINES))
    chars = _ASCII_CHARS if console.options.ascii_only else _CHARS
    for step in steps:
        style = "dim" if step.status == "waiting" else ""
        grid.add_row(Text(step.name, style=style), bar(step, chars), Text(total(step)), Text(_words(step), style="dim"))
    lines = [Text(f"{one_line(progress.run)}: {totals(progress)}", style="bold", no_wrap=True, overflow="ellipsis")]
    lines += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in in_flight(progress)]
    lines += [Text(one_line(note), no_wrap=True, overflow="ellipsis") for note in progress.notes[-NOTES:]]
    lines += [Text(line, style="yellow") for line in stopping(progress)]
    rest = [Text(f"and {left_out} more steps", style="dim")] if left_out else []
    return Group(grid, *rest, *lines)


def bar(step: StepProgress, chars: str = _CHARS, width: int = BAR_WIDTH) -> Text:
    """Cached, done, failed, skipped and running instances in their colours, of as many as there will be.

    Args:
        chars: what stands for an instance, and for one that is still to come.
        width: characters.
    """
    counts = {name: getattr(step, name) for name, _ in _SEGMENTS}
    counts["done"] -= counts["cached"]
    known = sum(counts.values())
    whole = max(known, step.total or 0)
    if step.total is None and step.status not in ENDED:
        whole = max(2 * known, 1)  # nobody knows how many will come: never more than half full
    text = Text(no_wrap=True)
    reached = drawn = 0
    for name, style in _SEGMENTS:
        reached += counts[name]
        end = width * reached // whole if whole else 0
        text.append(chars[0] * (end - drawn), style=style)
        drawn = end
    return text.append(chars[1] * (width - drawn), style="bright_black")


def _shown(steps: list[StepProgress], room: int) -> tuple[list[StepProgress], int]:
    """The steps to draw where there is no room for all: those that are open first, then those still to come."""
    if len(steps) <= room:
        return steps, 0
    rank = {"open": 0, "waiting": 1, "failed": 1}
    chosen = sorted(range(len(steps)), key=lambda index: rank.get(steps[index].status, 2))[:room]
    return [steps[index] for index in sorted(chosen)], len(steps) - room


def _words(step: StepProgress) -> str:
    words = details(step)
    if step.status in ("failed", "skipped") and step.reason:
        words = one_line(step.reason)
    return words
