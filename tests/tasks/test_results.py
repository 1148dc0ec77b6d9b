"""Results as JSON: what is converted, and where an error points."""

from __future__ import annotations

import datetime
import json
import math
import pickle
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest

from metis_flow.errors import TaskFailed
from metis_flow.tasks import to_json


@dataclass
class Gap:
    material: str
    energy: Any


class Spec(pydantic.BaseModel):
    name: str
    where: Path


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2.5, 2.5),
        ("µ", "µ"),
        ((1, (2, 3)), [1, [2, 3]]),
        (Pair(1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (Path("a/b.json"), "a/b.json"),
        (Gap("Si", (1.1,)), {"material": "Si", "energy": [1.1]}),
        (Spec(name="x", where=Path("y")), {"name": "x", "where": "y"}),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.str_("Si"), "Si"),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array(3), 3),
        ({"a": [np.arange(2)]}, {"a": [[0, 1]]}),
        ({np.str_("k"): 1}, {"k": 1}),
    ],
)
def test_converts(value: Any, expected: Any) -> None:
    result = to_json(value)
    assert result == expected
    assert json.loads(json.dumps(result)) == expected
    assert b"numpy" not in pickle.dumps(result)


def test_numpy_bool_is_a_plain_bool() -> None:
    assert to_json(np.bool_(False)) is False


@pytest.mark.parametrize(
    ("value", "summary", "hint"),
    [
        (
            {"rows": [{}, {}, {}, {"energy": math.nan}]},
            "result.rows[3].energy is NaN, which JSON cannot hold",
            "return None for a value that is missing, or write the numbers to a file and return the file's name",
        ),
        (np.array([1.0, np.inf]), "result[1] is infinite, which JSON cannot hold", "return None"),
        ({"a b": b"x"}, "result['a b'] is a bytes, which is not JSON", "write it to a file in the step's folder"),
        ([{1, 2}], "result[0] is a set, which is not JSON", "return sorted(...) of it, which is a list"),
        ({"when": datetime.date(2024, 1, 1)}, "result.when is a date, which is not JSON", "return its .isoformat()"),
        ((n for n in [1]), "result is a generator, which is not JSON", "return list(...) of it"),
        (
            {"a": {3: 1}},
            "result.a has the key 3, which is an int; JSON keys are strings",
            "write str(key), or return a list of objects",
        ),
        (
            Gap("Si", object()),
            "result.energy is an object, which is not JSON",
            "return numbers, text, lists and objects; write it to a file in the step's folder and return the file's "
            "name where it is anything else",
        ),
        (Gap, "result is a type, which is not JSON", "return numbers"),
        (np.array([1 + 2j]), "result[0] is a complex, which is not JSON", "return numbers"),
        (np.datetime64("2024-01-01"), "result is a datetime64, which is not JSON", "return numbers"),
    ],
)
def test_refuses_and_says_where(value: Any, summary: str, hint: str) -> None:
    with pytest.raises(TaskFailed) as caught:
        to_json(value)
    assert caught.value.summary == summary
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(hint)


def test_a_value_that_contains_itself() -> None:
    rows: list[Any] = [1]
    rows.append({"again": rows})
    with pytest.raises(TaskFailed, match=r"^result\[1\]\.again contains itself, so it cannot be written as JSON$"):
        to_json(rows)


def test_the_same_value_twice_is_fine() -> None:
    row = {"a": 1}
    assert to_json([row, row]) == [{"a": 1}, {"a": 1}]


def test_too_deep() -> None:
    value: Any = 1
    for _ in range(300):
        value = [value]
    with pytest.raises(TaskFailed, match=r"is nested deeper than 200 levels$"):
        to_json(value)


def test_a_whole_number_that_python_would_not_write_is_an_error() -> None:
    assert to_json(10**3999) == 10**3999
    with pytest.raises(TaskFailed) as caught:
        to_json({"n": [10**5000]})
    assert caught.value.summary == "result.n[0] is a whole number of more than 4,000 digits"
