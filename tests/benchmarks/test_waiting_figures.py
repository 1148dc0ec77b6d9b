"""The benchmarks of waiting: that their figures add up, not how they turn out."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import pipeline, startup, waiting
from metis_flow.testing import Counts


def call(end: float, seconds: float) -> dict[str, Any]:
    return {"e": "done", "t1": end, "call": {"seconds": seconds}}


def test_a_makespan_is_the_sum_of_what_its_places_did() -> None:
    load = pipeline.Load(items=2, places=2, shortest=1.0, longest=1.0, python=True)
    assert load.seconds() == [[1.0, 1.0], [1.0, 1.0]]
    assert load.bound() == 2.0
    # sent at 12, 12, 13.5 and 14; the last answer comes at 15.25
    entries = [call(13.0, 1.0), call(13.25, 1.25), call(14.5, 1.0), call(15.25, 1.25), {"e": "done", "output": 1}]
    result = pipeline._result(load, 10.0, 16.0, entries)
    assert (result.makespan, result.ratio, result.before, result.after) == (6.0, 3.0, 2.0, 0.75)
    assert (result.answering, result.handling) == (2.0, 0.25)
    assert (result.idle, result.tail) == (0.625, 0.375)
    assert result.before + result.answering + result.handling + result.idle + result.tail + result.after == 6.0


def test_a_pipeline_that_lacks_a_call_is_no_result() -> None:
    with pytest.raises(AssertionError, match="calls are missing"):
        pipeline._result(pipeline.Load(items=1), 0.0, 1.0, [call(1.0, 1.0)])


def test_how_long_an_answer_takes_depends_on_its_question_alone() -> None:
    load = pipeline.Load(items=200)
    taken = [seconds for chain in load.seconds() for seconds in chain]
    assert len(set(taken)) == 600
    assert min(taken) >= 0.2
    assert max(taken) <= 5.0
    assert sum(taken) / 600 == pytest.approx(2.6, abs=0.1)
    reply = pipeline.answer({"messages": [{"content": load.text("second", 7)}]}, 0)
    assert reply.latency == load.seconds()[7][1]


def test_a_window_begins_with_the_first_charge_after_the_last_one() -> None:
    load = waiting.Load(speed=60.0, per_minute=100)  # a window lasts one second
    counts = Counts(4, {"chat/completions": 200}, {}, {"answer": 198, "429_tokens": 2}, {}, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    charged = [(5.0, 60), (5.9, 45), (6.5, 70), (7.4, 30), (7.6, 90), (8.7, 10)]
    result = waiting._result(load, charged, counts)
    assert result.shares == [1.05, 1.0], "in the third window the questions may have run out"
    assert result.seconds == pytest.approx(3.7 * 60)
    assert result.refused == 0.01


def test_questions_fill_the_windows() -> None:
    load = waiting.Load(windows=2)
    lengths = [int(text.split()[0]) for text in load.questions()]
    charged = sum(lengths) + sum(map(waiting.prompt_tokens, load.questions()))
    assert 2 * load.per_minute <= charged <= 2 * load.per_minute + 5000
    assert min(lengths) >= 10
    assert 2000 < max(lengths) <= 4000
    assert load.questions() == waiting.Load(windows=2).questions() != waiting.Load(windows=2, seed=1).questions()


def test_start_ups_are_told_beside_python_and_openai() -> None:
    times = {name: startup.Times([1.0, 3.0], [0.5, 0.5]) for name in startup.COMMANDS}
    times[startup.FIRST] = startup.Times([4.0, 8.0])
    times[startup.OPENAI] = startup.Times([2.0, 4.0], [1.0, 1.0])
    section = startup.section(times, "sqlalchemy")
    assert section.rows[-1] == (startup.FIRST, 6.0, "4.00 to 8.00", None, 3.0, 2.0)
    assert section.remarks[0].endswith("Parsl loads sqlalchemy here, which metis-flow does not need.")
    assert "Parsl" not in startup.section(times, "").remarks[0]
