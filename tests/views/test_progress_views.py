"""Progress as lines and as a picture, from counts that a test sets."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from metis_flow.engine.progress import Progress, StepProgress
from metis_flow.inference.limiter import LimiterSnapshot
from metis_flow.record.state import RunState, StepCounts
from metis_flow.record.usage import Usage
from metis_flow.views.progress import ProgressView, progress_view, wants_picture
from metis_flow.views.progress_lines import ProgressLines
from metis_flow.views.progress_live import BAR_WIDTH, LiveProgress, bar, picture, print_picture
from metis_flow.views.snapshot import Snapshot, StepSnapshot, snapshot_of_progress, snapshot_of_state

NOW = 1_000_000.0


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def some_progress(*steps: StepProgress, seconds: float = 72.0) -> Progress:
    return Progress("run-1", {step.name: step for step in steps}, started=NOW - seconds, clock=lambda: NOW)


def frame(progress: Progress, height: int = 24, width: int = 80) -> list[str]:
    """A picture as the lines of a terminal."""
    return drawn_on(snapshot_of_progress(progress), Console(**options(height, width)))


def options(height: int, width: int, **more: Any) -> dict[str, Any]:
    defaults = {"file": io.StringIO(), "force_terminal": True, "color_system": None, "legacy_windows": False}
    return {**defaults, "width": width, "height": height, **more}


def drawn_on(snapshot: Snapshot, console: Console) -> list[str]:
    console.print(picture(snapshot, console))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, True), ({"NO_COLOR": "1"}, True), ({"CI": "true"}, False), ({"TERM": "dumb"}, False), ({"CI": ""}, True)],
)
def test_where_a_picture_is_drawn(environment: dict[str, str], expected: bool) -> None:
    assert wants_picture(Tty(), environment) is expected
    assert wants_picture(io.StringIO(), environment) is False
    assert isinstance(progress_view(Tty(), environment).shows, LiveProgress if expected else ProgressLines)


def test_lines_tell_each_thing_once() -> None:
    ask, last = StepProgress("ask", "chat", total=3), StepProgress("last", "run", total=1)
    progress = some_progress(ask, last)
    lines = ProgressLines(io.StringIO(), clock=lambda: 0.0)

    def news() -> list[str]:
        return list(lines.news(snapshot_of_progress(progress)))

    assert news() == []
    ask.status, ask.running = "open", 2
    assert news() == ["ask: begins, 3 in all"]
    assert news() == []
    ask.status, ask.running, ask.done, ask.cached, ask.failed = "failed", 0, 2, 1, 1
    ask.reason = "1 of 3 \x1b[2Jfailed"
    progress.failed("ask@3", "it went \x1b[31mwrong")
    progress.notes.append("a note\nof two lines")
    assert news() == [
        "ask: failed, 3/3, 1 failed, 1 cached (1 of 3 \\x1b[2Jfailed)",
        "failed: ask@3: it went \\x1b[31mwrong",
        "a note of two lines",
    ]
    last.status, last.skipped, last.reason = "skipped", 1, "ask failed"
    progress.notes.append("a note of two lines")
    assert news() == ["last: skipped, 1/1, 1 skipped (ask failed)", "a note of two lines"]
    assert news() == []


def test_the_first_failure_of_each_cause_is_a_line_and_not_more_than_five() -> None:
    progress = some_progress(StepProgress("ask", "chat", total=30, status="open"))
    lines = ProgressLines(io.StringIO(), clock=lambda: 0.0)
    said = []
    for word in ("one", "two", "three", "four", "five", "six", "seven"):
        progress.failed("ask@1", f"wrong in way {word}")
        progress.failed("ask@2", f"wrong in way {word}")
        said += [line for line in lines.news(snapshot_of_progress(progress)) if line.startswith("failed: ")]
    assert said == [f"failed: ask@2: wrong in way {word}" for word in ("one", "two", "three", "four", "five")]


def test_lines_between_come_less_often_the_longer_it_takes() -> None:
    now = 0.0
    ask = StepProgress("ask", "chat", total=1000, status="open", running=4, waiting="its turn")
    progress = some_progress(ask, StepProgress("later", "run"))
    progress.limiter = lambda: LimiterSnapshot(4, 8, 90, waiting_why="requests a second")
    progress.calls, progress.usage = 1200, Usage(1000, 200, 1200)
    lines = ProgressLines(io.StringIO(), clock=lambda: now)

    def news() -> list[str]:
        return list(lines.news(snapshot_of_progress(progress)))

    news()
    ask.done = 500
    now = 9.9
    assert news() == []
    now = 10.0
    assert news() == [
        "ask 500/1,000 (4 running); "
        "calls: 1,200 (16.7 a second); 4 of 8 in flight, 90 waiting for requests a second; "
        "tokens: 1,200 (1,000 a minute); held up: ask (its turn); run-1: 1m12s"
    ]
    assert news() == []
    now = 20.5
    assert len(news()) == 1
    now = 1000.0
    assert len(news()) == 1
    now = 1099.0  # a tenth of the time that went by
    assert news() == []
    now = 1112.0
    assert len(news()) == 1


def test_a_run_that_stops_says_so() -> None:
    ask = StepProgress("ask", "chat", status="open", running=4)
    progress = some_progress(ask)
    lines = ProgressLines(io.StringIO(), clock=lambda: 0.0)
    list(lines.news(snapshot_of_progress(progress)))
    progress.stopping = "interrupted"
    told = "stopping (interrupted): 4 still running are waited for; Ctrl-C ends at once"
    assert list(lines.news(snapshot_of_progress(progress))) == [told]
    assert list(lines.news(snapshot_of_progress(progress))) == []
    assert told in frame(progress)


def test_what_happened_before_the_end_is_told_by_then() -> None:
    out = io.StringIO()
    progress = some_progress(StepProgress("ask", "chat", total=1))
    view = ProgressView(ProgressLines(out))
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
        ({"total": 10}, "─" * 20),
        ({"total": 10, "done": 5}, "━" * 10 + "─" * 10),
        ({"total": 10, "done": 5, "cached": 2, "failed": 1, "skipped": 1, "running": 1}, "════━━━━━━xx··>>────"),
        ({"total": 3, "done": 3, "status": "done"}, "━" * 20),
        ({"total": None, "done": 4, "status": "open"}, "━" * 10 + "─" * 10),
        ({"total": None}, "─" * 20),
        ({"total": 0, "status": "done"}, "─" * 20),
        ({"total": 1000, "done": 1}, "─" * 20),
    ],
)
def test_a_bar_tells_without_colours(counts: dict[str, Any], expected: str) -> None:
    assert str(bar(StepSnapshot("ask", **counts))) == expected
    assert len(expected) == BAR_WIDTH


def test_a_bar_has_colours_too() -> None:
    text = bar(StepSnapshot("ask", total=10, done=5, cached=2, failed=1, running=1))
    assert [str(span.style) for span in text.spans] == ["cyan", "green", "red", "yellow", "bright_black"]


def full() -> Progress:
    """A run in the middle, with something of everything."""
    ask = StepProgress("ask", "chat", total=12, done=6, cached=1, failed=2, running=4, status="open", waiting="tokens")
    count = StepProgress("count", "python", total=1, waiting="ask", after=(("ask", False),))
    progress = some_progress(ask, count)
    progress.calls, progress.usage = 9, Usage(900, 100, 1000)
    snapshot = LimiterSnapshot(4, 4, 3, {"gpt": 800}, "tokens a minute", {"rate_limited": 7, "cut": 1})
    progress.limiter = lambda: snapshot
    for _ in range(5):
        ask.took(14.4)
    progress.retried("worker_lost")
    progress.failed("ask@1", "the first problem")
    progress.failed("ask@2", "problem number 17")
    progress.failed("ask@3", "problem number 18")
    progress.notes.append("[bold]a note[/bold] \x1b[2J")
    progress.deadline = NOW + 1800
    return progress


def test_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metis_flow.views.progress_words._time_of_day", lambda seconds: "14:30")
    assert frame(full()) == [
        "ask   ═━━━━━━━━━xxx>>>>>>> 8/12 2 failed, 4 running, 1 cached",
        "count ────────────────────  0/1 waiting: ask",
        "run-1: 1m12s; about 36s left, besides count",
        "calls:    9 (7.5 a minute); 4 of 4 in flight, 3 waiting for tokens a minute",
        "tokens:   1,000 (833 a minute); gpt 800 this minute",
        "retries:  7 rate_limited, 1 worker_lost, 1 cut",
        "held up:  ask (tokens)",
        "ends by:  14:30, in 30m",
        "failed:   ask@3: problem number 18",
        "failed:   ask@1: the first problem",
        "[bold]a note[/bold] \\x1b[2J",
    ]


def test_a_wide_frame_has_longer_bars_and_times() -> None:
    lines = frame(full(), width=160)
    assert lines[0].startswith("ask   ═══━━━━━━━━━━━━━━━━━xxxxxx>>>>>>>>>>>>>> 8/12")
    assert " 8/12 14.4s each 2 failed, 4 running, 1 cached" in lines[0]


def test_the_allowance_is_told_where_the_limiter_knows_it() -> None:
    snapshot = Snapshot(
        "r", "running", 1.0, (), tokens=5,
        tick={"limiter": {"in_flight": 0, "limit": 4, "waiting": 0, "tokens_per_minute": {"m\x1b": 52000},
                          "allowance": {"m\x1b": 60000}}},
    )  # fmt: skip
    assert "tokens:   5; m\\x1b 52,000 of 60,000 this minute" in drawn_on(snapshot, Console(**options(24, 80)))


def test_a_failure_gets_a_second_line_on_a_narrow_screen() -> None:
    progress = some_progress(StepProgress("ask", "chat", total=1))
    progress.failed("ask@1", "the answer is not what was asked for, and to say why takes more than a line: it is blue")
    lines = frame(progress, width=60)
    assert lines[-2] == "failed:   ask@1: the answer is not what was asked for, and"
    assert lines[-1] == "          to say why takes more than a line: it is blue"
    assert max(map(len, lines)) <= 60


def test_the_newest_failure_comes_first() -> None:
    progress = some_progress(StepProgress("ask", "chat", total=1))
    for address, summary in (("ask@1", "number 1"), ("ask@2", "another"), ("ask@3", "number 3")):
        progress.failed(address, summary)
    assert frame(progress)[-2:] == ["failed:   ask@3: number 3", "failed:   ask@2: another"]


def test_only_words_give_way_on_a_narrow_screen() -> None:
    ask = StepProgress("ask_for_it", "chat", total=2000, done=1000, failed=100, running=64, cached=12, skipped=3)
    (line, *_) = frame(some_progress(ask), width=60)
    assert line == "ask_for_it ━━━━━━━━━━x───────── 1,103/2,000 100 failed, 64 …"


def test_a_frame_fits_into_the_window() -> None:
    steps = [StepProgress(f"s{n}", "run", total=1, status="done" if n < 50 else "waiting") for n in range(60)]
    steps[55].status = "open"
    lines = frame(some_progress(*steps), height=20)
    assert len(lines) <= 20
    assert any(line.startswith("s55 ") for line in lines)
    assert "and 44 more steps" in lines
    assert max(map(len, lines)) <= 80


def test_a_picture_in_ascii_where_the_terminal_has_nothing_else() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    console = Console(**options(24, 80, file=out))
    console.print(picture(snapshot_of_progress(full()), console))
    out.flush()
    text = out.buffer.getvalue().decode("ascii")
    assert text.startswith("ask   =#########xxx>>>>>>> 8/12 2 failed")


def state_of(tick: dict[str, Any], status: str = "running") -> RunState:
    counts = StepCounts(done=6, failed=2, cached=1, running=4, items=12, status="running")
    state = RunState("run-1", "run", "/runs/run-1", status=status, steps={"ask": counts}, started=NOW - 72)
    state.calls, state.usage, state.tick = 9, Usage(900, 100, 1000), tick
    return state


def test_the_record_gives_the_same_picture() -> None:
    """What the driver tells is enough for another shell to show what the run's own terminal shows."""
    own = snapshot_of_progress(full())
    other = snapshot_of_state(state_of(full().tick()), NOW)
    assert drawn_on(other, Console(**options(24, 160))) == drawn_on(own, Console(**options(24, 160)))


def test_a_picture_of_a_run_that_is_over_has_no_rates() -> None:
    out = io.StringIO()
    state = state_of({}, status="failed")
    state.seconds, state.steps["ask"].status, state.steps["ask"].reason = 72.0, "failed", "2 of 8 \u202efailed"
    print_picture(snapshot_of_state(state, NOW + 500), out)
    assert out.getvalue().splitlines() == [
        "ask ═━━━━━━━━━xxx>>>>>>> 8/12 failed (2 of 8 \\u202efailed): 2 failed, 4 running, 1 cached",
        "run-1: failed after 1m12s",
        "calls:    9",
        "tokens:   1,000",
    ]


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J\x07", "\u202egnp\u2066", "a\0b", "x" * 1_000_000, "<script>", "[red]a[/]"]
)
def test_hostile_text_does_nothing_to_a_terminal(hostile: str) -> None:
    progress = full()
    progress.steps["ask"].reason = progress.steps["ask"].waiting = hostile
    progress.steps["count"].waiting = progress.stopping = hostile
    progress.failed("ask@x", hostile)
    progress.notes.append(hostile)
    progress.retried(hostile)
    lines = frame(progress, height=40)
    assert max(map(len, lines)) <= 80
    text = "\n".join([*lines, *ProgressLines(io.StringIO()).news(snapshot_of_progress(progress))])
    assert not set("\x1b\x07\0\u202e\u2066") & set(text)


def test_what_a_driver_tells_stays_small() -> None:
    progress = full()
    for _ in range(50):
        progress.failed("ask@x", "y" * 1_000_000)
        progress.notes.append("z" * 1_000_000)
    assert len(str(progress.tick())) < 10_000
