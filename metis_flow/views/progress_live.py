"""Progress as a picture on a terminal: a bar a step, drawn again and again in its place."""

from __future__ import annotations

from textwrap import wrap
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from metis_flow.units import format_duration
from metis_flow.views import progress_words as words
from metis_flow.views.progress import Look
from metis_flow.views.safe_text import one_line
from metis_flow.views.snapshot import ENDED, Snapshot, StepSnapshot
from metis_flow.views.tables import PIPED_WIDTH

BAR_WIDTH = 20
WIDE, WIDE_BAR = 120, 40
NAME_WIDTH = 20
ROOMY = 20
"""Lines of a window in which more than one failure is shown."""
LEAST_STEPS = 3
NOTES = 3
FAILURES = 3
FRAMES_PER_SECOND = 5
BLANK_LINES = 2
"""Some of what stood on the screen before."""

# Each kind of instance has a character of its own: without colours a bar still tells them apart.
_CHARS = {"cached": "═", "done": "━", "failed": "x", "skipped": "·", "running": ">", "": "─"}
_ASCII_CHARS = {"cached": "=", "done": "#", "failed": "x", "skipped": ".", "running": ">", "": "-"}
_STYLES = {"cached": "cyan", "done": "green", "failed": "red", "skipped": "bright_black", "running": "yellow"}
_STATUS_STYLES = {"waiting": "dim", "failed": "red"}


class LiveProgress:
    """Draws a run until it is stopped, and then takes the picture away.

    Args:
        out: a terminal.
    """

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, markup=False, highlight=False, emoji=False)
        self._live: Live | None = None

    def start(self, look: Look) -> None:
        """Begin to draw."""
        self._live = Live(
            console=self._console,
            get_renderable=lambda: picture(look(), self._console),
            refresh_per_second=FRAMES_PER_SECOND,
            transient=True,
        )
        self._live.start(refresh=True)

    def stop(self) -> None:
        """Take the picture away."""
        if self._live is not None:
            self._live.stop()


def print_picture(snapshot: Snapshot, out: TextIO) -> None:
    """One picture, and that is all; whole where it is piped."""
    on_terminal = out.isatty()
    size = {} if on_terminal else {"width": PIPED_WIDTH, "height": PIPED_WIDTH}
    console = Console(file=out, markup=False, highlight=False, emoji=False, **size)  # type: ignore[arg-type]
    with console.capture() as capture:
        console.print(picture(snapshot, console, whole=True))
    out.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def picture(snapshot: Snapshot, console: Console, *, whole: bool = False) -> RenderableType:
    """One frame.

    Args:
        whole: all steps, even if they do not fit into the window.
    """
    below = _lines(snapshot, console.width, FAILURES if whole or console.height >= ROOMY else 1)
    room = max(LEAST_STEPS, console.height - len(below) - BLANK_LINES)
    steps, left_out = (list(snapshot.steps), 0) if whole else _shown(list(snapshot.steps), room)
    wide = WIDE <= console.width < PIPED_WIDTH
    rest = [Text(f"and {left_out} more steps", style="dim")] if left_out else []
    return Group(_grid(steps, console, wide=wide), *rest, *below)


def _grid(steps: list[StepSnapshot], console: Console, *, wide: bool) -> Table:
    """A row for each step: its name, a bar, how many of how many, and in words what else there is to say."""
    chars = _ASCII_CHARS if console.options.ascii_only else _CHARS
    rows = []
    for step in steps:
        name = Text(one_line(step.name, NAME_WIDTH), style=_STATUS_STYLES.get(step.status, ""))
        cells = [name, bar(step, chars, WIDE_BAR if wide else BAR_WIDTH), Text(words.total(step))]
        if wide:
            cells.append(Text("" if step.median is None else f"{format_duration(step.median)} each", style="dim"))
        rows.append((*cells, Text(_words(step), style="" if step.failed else "dim", no_wrap=True, overflow="ellipsis")))
    grid = Table.grid(padding=(0, 1))
    # Only the words give way: of columns that may not be wrapped rich makes each one narrower by a share.
    for number, column in enumerate(list(zip(*rows, strict=True))[:-1]):
        grid.add_column(
            no_wrap=True, width=max(cell.cell_len for cell in column), justify="right" if number > 1 else "left"
        )
    grid.add_column()
    for row in rows:
        grid.add_row(*row)
    return grid


def _lines(snapshot: Snapshot, width: int, most_failures: int) -> list[Text]:
    """What stands below the steps."""
    lines = [(words.heading(snapshot), "bold")]
    lines += [(line, "") for line in words.facts(snapshot)]
    for failure in [*reversed(words.failures(snapshot).values())][:most_failures]:
        # What is wrong stands at the end of a sentence: on a narrow screen it gets a second line.
        lines += [
            (line, "red") for line in wrap(failure, width, max_lines=2, placeholder="…", subsequent_indent=words.INDENT)
        ]
    lines += [(one_line(note), "") for note in snapshot.notes[-NOTES:]]
    lines += [(line, "yellow") for line in words.stopping(snapshot)]
    return [Text(line, style=style, no_wrap=True, overflow="ellipsis") for line, style in lines]


def bar(step: StepSnapshot, chars: dict[str, str] = _CHARS, width: int = BAR_WIDTH) -> Text:
    """Cached, done, failed, skipped and running instances in their characters and colours, of as many as there will be.

    Args:
        chars: what stands for an instance, by what became of it, and under "" for one that is still to come.
        width: characters.
    """
    counts = {name: getattr(step, name) for name in _STYLES}
    counts["done"] -= counts["cached"]
    known = sum(counts.values())
    whole = max(known, step.total or 0)
    if step.total is None and step.status not in ENDED:
        whole = max(2 * known, 1)  # nobody knows how many will come: never more than half full
    text = Text(no_wrap=True)
    reached = drawn = 0
    for name, style in _STYLES.items():
        reached += counts[name]
        end = width * reached // whole if whole else 0
        text.append(chars[name] * (end - drawn), style=style)
        drawn = end
    return text.append(chars[""] * (width - drawn), style="bright_black")


def _shown(steps: list[StepSnapshot], room: int) -> tuple[list[StepSnapshot], int]:
    """The steps to draw where there is no room for all: those that are open first, then those still to come."""
    if len(steps) <= room:
        return steps, 0
    rank = {"open": 0, "waiting": 1, "failed": 1}
    chosen = sorted(range(len(steps)), key=lambda index: rank.get(steps[index].status, 2))[: room - 1]
    return [steps[index] for index in sorted(chosen)], len(steps) - len(chosen)


def _words(step: StepSnapshot) -> str:
    if step.status not in ENDED:
        return words.details(step)
    counts = words.details(step)
    reason = f" ({one_line(step.reason)})" if step.reason else ""
    return f"{step.status}{reason}" + (f": {counts}" if counts else "")
