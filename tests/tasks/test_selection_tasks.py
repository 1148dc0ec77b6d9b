"""The tasks that choose among values and rows."""

from __future__ import annotations

from typing import Any

import pytest

from metis_flow.errors import TaskFailed
from metis_flow.tasks import count, dedupe, sample_rows, vote


@pytest.mark.parametrize(
    ("rows", "options", "kept"),
    [
        ([], {}, []),
        ([1, 1.0, True, "1", None, None], {}, [1, True, "1", None]),
        ([{"a": 1, "b": 2}, {"b": 2.0, "a": 1}, {"a": 1}], {}, [{"a": 1, "b": 2}, {"a": 1}]),
        ([[1, 2], [2, 1], [1, 2]], {}, [[1, 2], [2, 1]]),
        ([{"a": 1, "n": 1}, {"a": 1, "n": 2}], {"by": "a"}, [{"a": 1, "n": 1}]),
        (
            [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 1.0}],
            {"by": ["a", "b"]},
            [{"a": 1, "b": 1}, {"a": 1, "b": 2}],
        ),
        (
            [{"doi": None}, {}, {"doi": None}, {"doi": "x"}],
            {"by": "doi"},
            [{"doi": None}, {}, {"doi": None}, {"doi": "x"}],
        ),
        ([{"a": 1, "b": None}, {"a": 1}], {"by": ["a", "b"]}, [{"a": 1, "b": None}]),
        (
            ["Band gaps, revisited.", "band  gaps revisited", "band gap"],
            {"loose": True},
            ["Band gaps, revisited.", "band gap"],
        ),
        (["Größe", "GRÖSSE", "\uff27röße"], {"loose": True}, ["Größe"]),
        (["?", "!", "?"], {"loose": True}, ["?", "!"]),
        (["a", "A"], {}, ["a", "A"]),
    ],
)
def test_dedupe(rows: list[Any], options: dict[str, Any], kept: list[Any]) -> None:
    assert repr(dedupe(rows, **options)) == repr(kept)


def test_dedupe_by_a_field_of_what_has_none() -> None:
    with pytest.raises(TaskFailed) as caught:
        dedupe([{"a": 1}, "x"], by="a")
    assert caught.value.render() == "rows[1] is no object, so it has no fields\n  hint: leave 'by' out"


def test_a_sample_is_the_same_everywhere() -> None:
    rows = list(range(100))
    assert sample_rows(rows, 5) == [15, 44, 46, 87, 99]
    assert sample_rows(rows, 5, seed=1) != sample_rows(rows, 5)
    assert sample_rows(rows, 50) == sorted(sample_rows(rows, 50))
    assert set(sample_rows(rows, 5)) < set(sample_rows(rows, 20))  # a larger one has the smaller one in it
    assert sample_rows(rows, 1000) == rows
    assert sample_rows(rows, 0) == sample_rows([], 3) == []


def test_all_rows_are_as_likely() -> None:
    hits = [0] * 10
    for seed in range(1000):
        for row in sample_rows(list(range(10)), 3, seed=seed):
            hits[row] += 1
    assert sum(hits) == 3000
    assert min(hits) > 240
    assert max(hits) < 360


def test_a_sample_by_groups() -> None:
    rows = [{"kind": kind, "n": n} for n, kind in enumerate("aaaaaabbbc")]
    for seed in range(20):
        kinds = [row["kind"] for row in sample_rows(rows, 5, seed=seed, by="kind")]
        assert (kinds.count("a"), kinds.count("b"), kinds.count("c")) == (3, 2, 0)  # 3, 1.5 and 0.5 to the nearest
    assert sample_rows(rows, 10, by="kind") == rows
    assert len(sample_rows(rows, 3, by="nothing")) == 3


def test_samples_that_cannot_be() -> None:
    with pytest.raises(TaskFailed, match=r"^'n' is -1, and should be at least 0$"):
        sample_rows([1], -1)
    with pytest.raises(TaskFailed, match=r"^rows\[0\] is no object, so it has no 'kind'$"):
        sample_rows([1], 1, by="kind")


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        ([], {}, (None, 0, 0, 0.0, False)),
        ([None, None], {}, (None, 0, 0, 0.0, False)),
        (["a"], {}, ("a", 1, 1, 1.0, False)),
        (["b", "a", "a", None], {}, ("a", 2, 3, 0.6667, False)),
        (["b", "a", "a", "b"], {}, ("b", 2, 4, 0.5, True)),
        ([1, 1.0, True], {}, (1, 2, 3, 0.6667, False)),
        ([{"m": "Si", "g": 1}, {"g": 1, "m": "Si"}], {}, ({"m": "Si", "g": 1}, 2, 2, 1.0, False)),
        ([{"m": "Si", "g": 1}, {"m": "Si", "g": 2}, {}], {"field": "m"}, ("Si", 2, 2, 1.0, False)),
        (["a", "a", "b"], {"least": 0.67}, (None, 2, 3, 0.6667, False)),
        (["a", "b"], {"least": 0.5}, ("a", 1, 2, 0.5, True)),
    ],
)
def test_vote(values: list[Any], options: dict[str, Any], expected: tuple[Any, ...]) -> None:
    election = vote(values, **options)
    assert (election["value"], election["votes"], election["of"], election["share"], election["tied"]) == expected
    assert sum(one["votes"] for one in election["counts"]) == election["of"]


def test_a_vote_on_a_field_of_what_has_none() -> None:
    with pytest.raises(TaskFailed, match=r"^values\[1\] is no object, so it has no 'm'$"):
        vote([None, "x"], field="m")


def test_count() -> None:
    counts = count(values=["dft", "exp", "dft", 3, "3", None, True, "a"])
    assert list(counts.items()) == [("3", 2), ("dft", 2), ("a", 1), ("exp", 1), ("null", 1), ("true", 1)]
    assert count(values=[]) == {}
    with pytest.raises(TaskFailed, match=r"^values\[0\] is a list, which cannot be counted$"):
        count(values=[[1]])
