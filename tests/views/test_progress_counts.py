"""What a driver counts and tells: rates, medians, the time left."""

from __future__ import annotations

import pytest

from metis_flow.engine.progress import LAST_TIMES, Progress, StepProgress
from metis_flow.engine.time_left import Seen, time_left
from metis_flow.inference.limiter import LimiterSnapshot
from metis_flow.record.usage import Usage


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_median_is_of_the_last_instances() -> None:
    step = StepProgress("ask", "chat")
    assert step.median is None
    for seconds in (9.0, 1.0, 5.0):
        step.took(seconds)
    assert step.median == 5.0
    for _ in range(LAST_TIMES):
        step.took(2.0)
    assert step.median == 2.0
    assert step.made == LAST_TIMES + 3


def test_rates_are_of_the_last_minute() -> None:
    clock = Clock()
    progress = Progress("r", {"ask": StepProgress("ask", "chat", total=100, status="open")}, started=0.0, clock=clock)
    for second in range(5, 301, 5):  # a call a second for four minutes, and two in the last one
        clock.now = second
        progress.calls += 5 if second <= 240 else 10
        progress.usage += Usage(0, 0, 100)
        told = progress.tick()
        if second == 5:
            assert told["rates"] == {"calls": 1.0, "tokens": 1200}
    assert told["rates"] == {"calls": 2.0, "tokens": 1200}
    clock.now = 360.0
    assert progress.told()["rates"] == {"calls": 1.0, "tokens": 600}


def test_a_tick_says_what_runs_and_waits() -> None:
    ask = StepProgress("ask", "chat", total=9, status="open", running=2, retrying=1, waiting="tokens")
    progress = Progress("r", {"ask": ask, "end": StepProgress("end", "run", total=1, waiting="ask")})
    progress.limiter = lambda: LimiterSnapshot(2, 8, 3, retries={"cut": 2, "timed_out": 1})
    progress.retried("timed_out")
    progress.failed("ask@1", "no")
    told = progress.tick()
    assert told["e"] == "tick"
    assert told["running"] == {"ask": 2}
    assert told["retrying"] == {"ask": 1}
    assert told["waiting"] == {"ask": "tokens", "end": "ask"}
    assert list(told["steps"]) == ["ask", "end"]
    assert told["steps"]["end"] == {"verb": "run", "total": 1, "median": None}
    assert (told["limiter"]["in_flight"], told["limiter"]["limit"], told["limiter"]["waiting"]) == (2, 8, 3)
    assert told["retries"] == {"cut": 2, "timed_out": 2}
    assert told["failures"] == [["ask@1", "no"]]
    assert ask.made == 1


@pytest.mark.parametrize(
    ("steps", "left", "unknown"),
    [
        ({}, 0.0, []),
        ({"a": Seen((), 0, 0.0, None, 0)}, 0.0, []),
        ({"a": Seen((), 10, 2.0, None, 4)}, 5.0, []),
        ({"a": Seen((), 10, 0.0, 60.0, 5)}, 120.0, []),
        ({"a": Seen((), 10, 0.0, None, 5)}, None, ["a"]),
        ({"a": Seen((), None, 3.0, 1.0, 5)}, None, ["a"]),
        # one after the other
        ({"a": Seen((), 10, 1.0, None, 1), "b": Seen((("a", False),), 5, 1.0, None, 1)}, 15.0, []),
        # item by item, they go on together
        ({"a": Seen((), 10, 1.0, None, 1), "b": Seen((("a", True),), 12, 1.0, None, 1)}, 12.0, []),
        ({"a": Seen((), 10, 1.0, None, 1), "b": Seen((("a", True),), 1, 1.0, None, 1)}, 10.0, []),
        (
            {
                "a": Seen((), 10, 1.0, None, 1),
                "b": Seen((("a", True),), 1, 1.0, None, 1),
                "c": Seen((("b", False),), 5, 1.0, None, 1),
            },
            15.0,
            [],
        ),
        # side by side
        ({"a": Seen((), 10, 1.0, None, 1), "b": Seen((), 5, 1.0, None, 1)}, 10.0, []),
        # what nobody knows comes on top
        ({"a": Seen((), 10, 1.0, None, 1), "b": Seen((("a", False),), 1, 0.0, None, 0)}, 10.0, ["b"]),
    ],
)
def test_the_time_left(steps: dict[str, Seen], left: float | None, unknown: list[str]) -> None:
    assert time_left(steps) == (left, unknown)
