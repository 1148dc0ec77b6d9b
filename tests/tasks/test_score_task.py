"""The task that scores answers against a table."""

from __future__ import annotations

from typing import Any

import pytest

from metis_flow.errors import TaskFailed
from metis_flow.tasks import score_table, to_json

TRUTH = [
    {"name": "iron", "z": 26, "melts": 1811.0, "state": "solid"},
    {"name": "gold", "z": 79, "melts": 1337.0, "state": "solid"},
    {"name": "neon", "z": 10, "melts": 24.6, "state": "gas"},
    {"name": "helium", "z": 2, "melts": None, "state": "gas"},
]


def result(key: str, output: Any) -> dict[str, Any]:
    return {"key": key, "status": "done" if output else "failed", "output": output, "error": None}


def column(scores: Any, name: str) -> dict[str, Any]:
    return next(one for one in scores["columns"] if one["column"] == name)


def test_the_results_of_a_step() -> None:
    answers = [
        result("iron", {"z": 26.0, "melts": 1800, "state": "Solid"}),
        result("gold", {"z": 78, "melts": 1500, "state": "solid"}),
        result("helium", {"z": 2, "melts": 1, "state": "gas"}),
        result("neon", None),
    ]
    scores = score_table(answers, TRUTH, "name", tolerance=0.01)
    assert to_json(scores) == scores
    assert (scores["rows"], scores["answered"]) == (4, 3)
    assert column(scores, "z") == {
        "column": "z",
        "asked": 4,
        "answered": 3,
        "correct": 2,
        "accuracy": 0.5,
        "baseline": 0.25,
        "mean_error": 0.333333,
    }
    assert (column(scores, "melts")["asked"], column(scores, "melts")["correct"]) == (3, 1)
    assert column(scores, "melts")["mean_error"] == (11 + 163) / 2
    assert (column(scores, "state")["correct"], column(scores, "state")["baseline"]) == (2, 0.5)
    assert scores["accuracy"] == round(5 / 11, 4)
    assert scores["baseline"] == round((1 + 1 + 2) / 11, 4)
    assert scores["wrong"] == [
        {"key": "gold", "column": "z", "expected": 79, "given": 78},
        {"key": "gold", "column": "melts", "expected": 1337.0, "given": 1500},
        {"key": "iron", "column": "state", "expected": "solid", "given": "Solid"},
    ]
    loose = score_table(answers, TRUTH, "name", columns=["state"], loose=True)
    assert (loose["accuracy"], [one["column"] for one in loose["columns"]]) == (0.75, ["state"])


def test_true_answers_score_one() -> None:
    scores = score_table(TRUTH, TRUTH, "name")
    assert (scores["accuracy"], scores["wrong"]) == (1.0, [])


def test_nothing_asked() -> None:
    scores = score_table([], TRUTH, "name")
    assert (scores["accuracy"], scores["baseline"], scores["rows"]) == (0.0, 0.0, 0)
    assert score_table([], [], "name")["columns"] == []


def test_true_is_not_1() -> None:
    truth = [{"id": 1, "metal": True}, {"id": 2, "metal": False}]
    answers = [{"id": 1, "metal": 1}, {"id": 2, "metal": False}]
    assert score_table(answers, truth, "id")["accuracy"] == 0.5


def test_a_tolerance_counts_for_the_baseline_too() -> None:
    truth = [{"id": n, "x": value} for n, value in enumerate([100, 104, 108, 500])]
    assert column(score_table(truth, truth, "id", tolerance=0.05), "x")["baseline"] == 0.75


@pytest.mark.parametrize(
    ("answers", "truth", "message"),
    [
        (
            [result("irn", {})],
            TRUTH,
            "answers[0] is about 'irn', which is not in the table\n  hint: did you mean 'iron'?",
        ),
        ([TRUTH[0], TRUTH[0]], TRUTH, "'iron' was answered twice\n  hint: answers[1] is the second one; see vote"),
        ([], [*TRUTH, TRUTH[0]], "the table has 'iron' twice\n  hint: truth[4] is the second one"),
        ([{"z": 1}], TRUTH, "answers[0] has no 'name'\n  hint: 'key' names the column that both have"),
        ([], ["iron"], "truth[0] has no 'name'\n  hint: 'key' names the column that both have"),
    ],
)
def test_tables_that_do_not_fit(answers: list[Any], truth: list[Any], message: str) -> None:
    with pytest.raises(TaskFailed) as caught:
        score_table(answers, truth, "name")
    assert caught.value.render() == message
