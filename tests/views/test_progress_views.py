"""Progress as lines and as a picture, from counts that a test sets."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from metis_flow.engine.progress import Progress, StepProgress
from metis_flow.inference.limiter import LimiterSnapshot
from metis_flow.record.usage import Usage
from metis_flow.views.progress import progress_view, wants_picture
from metis_flow.views.progress_lines import ProgressLines
from metis_flow.views.progress_live import BAR_WIDTH, LiveProgress, bar, picture


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def some_progress(**steps: StepProgress) -> Progress:
    return Progress("run-1", steps, started=time.time())


def frame(progress: Progress, height: int = 24) -> list[str]:
    """A picture as the lines of a terminal of 80 columns."""
    console = Console(file=io.StringIO(), width=80, height=height, force_terminal=True, color_system=None)
    console.print(picture(progress, console))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def drawn(step: StepProgress) -> str:
    """A bar with a letter for each style."""
    text = bar(step, "xx")
    letters = ["-"] * len(text)
    for span in text.spans:
        letters[span.start : span.end] = str(span.style)[-1] * (span.end - span.start)
    return "".join(letters)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"CI": "true"}, False), ({"TERM": "dumb"}, False), ({"CI": ""}, True)],
)
def test_where_a_picture_is_drawn(environment: dict[str, str], expected: bool) -> None:
    assert wants_picture(Tty(), environment) is expected
    assert wants_picture(io.StringIO(), environment) is False
    assert isinstance(progress_view(Tty(), environment), LiveProgress if expected else ProgressLines)


def test_lines_tell_each_thing_once() -> None:
    ask = StepProgress("ask", "chat", total=3)
    last = StepProgress("last", "run", total=1)
    progress = some_progress(ask=ask, last=last)
    lines = ProgressLines(io.StringIO(), clock=lambda: 0.0)
    assert list(lines.news(progress)) == []
    ask.status, ask.running = "open", 2
    assert list(lines.news(progress)) == ["ask: begins, 3 in all"]
    assert list(lines.news(progress)) == []
    ask.status, ask.running, ask.done, ask.cached, ask.failed = "failed", 0, 2, 1, 1
    ask.reason = "1 of 3 \x1b[2Jfailed"
    progress.notes.append("a note\nof two lines")
    assert list(lines.news(progress)) == [
        "ask: failed, 3/3, 1 failed, 1 cached (1 of 3 \\x1b[2Jfailed)",
        "a note of two lines",
    ]
    last.status, last.skipped, last.reason = "skipped", 1, "ask failed"
    assert list(lines.news(progress)) == ["last: skipped, 1/1, 1 skipped (ask failed)"]
    assert list(lines.news(progress)) == []


def test_lines_between_come_every_ten_seconds_at_most() -> None:
    now = 0.0
    ask = StepProgress("ask", "chat", total=1000, status="open", running=4)
    progress = some_progress(ask=ask, later=StepProgress("later", "run"))
    progress.limiter = lambda: LimiterSnapshot(4, 8, 90, waiting_why="requests a second")
    progress.calls, progress.usage = 1200, Usage(1000, 200, 1200)
    lines = ProgressLines(io.StringIO(), clock=lambda: now)
    list(lines.news(progress))
    ask.done = 500
    now = 9.9
    assert list(lines.news(progress)) == []
    now = 10.0
    (line,) = lines.news(progress)
    assert line.startswith("ask 500/1,000 (4 running); 1,200 calls, 1,200 tokens, ")
    assert line.endswith("; in flight: 4 of 8, 90 waiting for requests a second")
    assert list(lines.news(progress)) == []
    now = 20.5
    assert len(list(lines.news(progress))) == 1


def test_lines_tell_that_a_run_stops() -> None:
    ask = StepProgress("ask", "chat", status="open", running=4)
    progress = some_progress(ask=ask)
    lines = ProgressLines(io.StringIO(), clock=lambda: 0.0)
    list(lines.news(progress))
    progress.stopping = "interrupted"
    told = "stopping (interrupted): 4 still running are waited for; Ctrl-C ends at once"
    assert list(lines.news(progress)) == [told]
    assert list(lines.news(progress)) == []
    assert told in frame(progress)


def test_what_happened_before_the_end_is_told_by_then() -> None:
    out = io.StringIO()
    progress = some_progress(ask=StepProgress("ask", "chat", total=1))
    view = ProgressLines(out)
    view.start(progress)
    progress.steps["ask"].status, progress.steps["ask"].done = "done", 1
    view.stop()
    assert out.getvalue() == "ask: begins\nask: done, 1/1\n"


def test_a_view_that_was_never_started_may_be_stopped() -> None:
    ProgressLines(io.StringIO()).stop()
    LiveProgress(Tty()).stop()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"total": 10}, "k" * 20),
        ({"total": 10, "done": 5}, "n" * 10 + "k" * 10),
        ({"total": 10, "done": 5, "cached": 2, "failed": 1, "skipped": 1, "running": 1}, "nnnnnnnnnnddkkwwkkkk"),
        ({"total": 3, "done": 3, "status": "done"}, "n" * 20),
        ({"total": None, "done": 4, "status": "open"}, "n" * 10 + "k" * 10),
        ({"total": None}, "k" * 20),
        ({"total": 0, "status": "done"}, "k" * 20),
        ({"total": 1000, "done": 1}, "k" * 20),
    ],
)
def test_a_bar(counts: dict[str, int], expected: str) -> None:
    """n: cached or done, d: failed, k: skipped or still to come, w: running."""
    assert drawn(StepProgress("ask", "chat", **counts)) == expected  # type: ignore[arg-type]
    assert len(expected) == BAR_WIDTH


def test_a_frame() -> None:
    ask = StepProgress("ask", "chat", total=12, done=6, cached=1, failed=2, running=4, status="open")
    count = StepProgress("count", "python", total=1)
    progress = some_progress(ask=ask, count=count)
    progress.calls, progress.usage = 9, Usage(900, 100, 1000)
    progress.limiter = lambda: LimiterSnapshot(4, 4, 0)
    progress.notes.append("[bold]a note[/bold] \x1b[2J")
    lines = frame(progress)
    assert lines[0] == "ask   ━━━━━━━━━━━━━━━━━━━━ 8/12 4 running, 2 failed, 1 cached"
    assert lines[1] == "count ────────────────────  0/1"
    assert lines[2].startswith("run-1: 9 calls, 1,000 tokens, ")
    assert lines[3:] == ["in flight: 4 of 4", "[bold]a note[/bold] \\x1b[2J"]


def test_a_frame_fits_into_the_window() -> None:
    steps = {f"s{n}": StepProgress(f"s{n}", "run", total=1, status="done" if n < 50 else "waiting") for n in range(60)}
    steps["s55"].status = "open"
    lines = frame(some_progress(**steps), height=20)
    assert len(lines) <= 20
    assert any(line.startswith("s55 ") for line in lines)
    assert "and 48 more steps" in lines
    assert max(map(len, lines)) <= 80
