"""Matrix and repeat: which combinations there are, in which order, under which keys; and that nothing is made early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from metis_flow.engine.scope import instance_scope
from metis_flow.errors import ExpressionFailed
from metis_flow.plan.combinations import Grid, combinations_of
from metis_flow.plan.items import Item
from metis_flow.plan.plan import Plan, items_again, items_of_step, with_key
from metis_flow.record.rows_file import line_of, write_rows_file
from metis_flow.workflow.definition import StepDef

MakePlan = Callable[..., Plan]
Refused = Callable[..., list[str]]

FRUIT = {"fruit": ["apple", "pear"], "animal": ["cat", "dog"]}
GRIDS: dict[str, tuple[Grid, dict[str, Mapping[str, Any]]]] = {
    "product, last axis fastest": (
        Grid({"a": [0, 1], "b": ["x", "y"]}),
        {
            "a=0,b=x": {"a": 0, "b": "x"},
            "a=0,b=y": {"a": 0, "b": "y"},
            "a=1,b=x": {"a": 1, "b": "x"},
            "a=1,b=y": {"a": 1, "b": "y"},
        },
    ),
    "include, as GitHub's own example has it": (
        Grid(
            FRUIT,
            include=[
                {"color": "green"},
                {"color": "pink", "animal": "cat"},
                {"fruit": "apple", "shape": "circle"},
                {"fruit": "banana"},
                {"fruit": "banana", "animal": "cat"},
            ],
        ),
        {
            "fruit=apple,animal=cat": {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
            "fruit=apple,animal=dog": {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
            "fruit=pear,animal=cat": {"fruit": "pear", "animal": "cat", "color": "pink"},
            "fruit=pear,animal=dog": {"fruit": "pear", "animal": "dog", "color": "green"},
            "fruit=banana": {"fruit": "banana"},
            "fruit=banana,animal=cat": {"fruit": "banana", "animal": "cat"},
        },
    ),
    "include alone": (
        Grid({}, include=[{"site": "x", "n": 1}, {"site": "y"}]),
        {"site=x,n=1": {"site": "x", "n": 1}, "site=y": {"site": "y"}},
    ),
    "exclude by some of the axes": (
        Grid(FRUIT, exclude=[{"animal": "dog"}, {"fruit": "pear", "animal": "cat"}]),
        {"fruit=apple,animal=cat": {"fruit": "apple", "animal": "cat"}},
    ),
    "include brings back what exclude left out": (
        Grid({"a": [0, 1]}, include=[{"a": 1, "b": 2}], exclude=[{"a": 1}]),
        {"a=0": {"a": 0}, "a=1,b=2": {"a": 1, "b": 2}},
    ),
    "a later include stands over an earlier one, whatever these say of the axes": (
        Grid({"a": [0, 1]}, include=[{"a": 0, "x": 1}, {"x": 2}, {"a": 0, "x": 3}]),
        {"a=0": {"a": 0, "x": 3}, "a=1": {"a": 1, "x": 2}},
    ),
    "an axis in include's own order stands where the axis does": (
        Grid({"a": [0], "b": [0]}, include=[{"z": 1, "b": 1, "a": 1}]),
        {"a=0,b=0": {"a": 0, "b": 0}, "a=1,b=1,z=1": {"z": 1, "b": 1, "a": 1}},
    ),
    "values of every kind": (
        Grid({"v": [None, True, 1.5, "x y", {"long": "object"}, [1]]}),
        {
            "v=null": {"v": None},
            "v=true": {"v": True},
            "v=1.5": {"v": 1.5},
            "v=x y": {"v": "x y"},
            "v=4": {"v": {"long": "object"}},
            "v=5": {"v": [1]},
        },
    ),
    "true is not 1": (Grid({"v": [1, 0]}, exclude=[{"v": True}]), {"v=1": {"v": 1}, "v=0": {"v": 0}}),
    "an empty axis": (Grid({"a": [], "b": [1]}), {}),
}


@pytest.mark.parametrize(("grid", "expected"), GRIDS.values(), ids=GRIDS)
def test_combinations(grid: Grid, expected: dict[str, Mapping[str, Any]]) -> None:
    assert [(one.text, one.values) for one in grid.walk()] == list(expected.items())
    assert grid.count() == len(expected)


def test_many_rules_are_looked_up() -> None:
    grid = Grid(
        {"a": range(3000), "b": [{"n": 1}, [2]]},
        include=[{"a": 5, "x": 1}, {"x": 2}, {"a": 5, "b": [2], "x": 3}, {"a": -1}],
        exclude=[*({"a": number} for number in range(6, 3000)), {"b": {"n": 1}, "a": 4}, {"b": [3]}],
    )
    assert grid.count() == 12
    found = [(one.values["a"], one.values.get("b"), one.values.get("x")) for one in grid.walk()]
    assert found[8:] == [(4, [2], 2), (5, {"n": 1}, 2), (5, [2], 3), (-1, None, None)]


def test_rules_that_ask_too_much_are_not_counted() -> None:
    everywhere = [{"x": number} for number in range(100)]
    assert Grid({"a": range(800)}, include=everywhere).count() == 800
    assert Grid({"a": range(1000)}, include=everywhere).count() is None


def step_of(plan: Plan, name: str = "s") -> StepDef:
    return plan.workflow.steps[name]


def keys(plan: Plan, scope: Mapping[str, Any] | None = None) -> list[str | None]:
    step = step_of(plan)
    base = {"params": plan.params, **(scope or {})}
    items, _ = items_of_step(step, base)
    return [with_key(step, item, base).key for item in items]


KEYS = {
    "repeat: 2": ["repeat=0", "repeat=1"],
    "matrix: {t: [0, 1]}\n    repeat: 2": ["t=0,repeat=0", "t=0,repeat=1", "t=1,repeat=0", "t=1,repeat=1"],
    "foreach: {b: 1, a: 2}\n    matrix: {t: [0, 1]}": ["b,t=0", "b,t=1", "a,t=0", "a,t=1"],
    "foreach: [x]\n    repeat: 2": ["0,repeat=0", "0,repeat=1"],
    "foreach: [x, y]\n    key: ${{ item }}\n    repeat: 2": ["x,repeat=0", "x,repeat=1", "y,repeat=0", "y,repeat=1"],
    "foreach: [x]\n    key: ${{ item }}-${{ repeat }}\n    repeat: 2": ["x-0", "x-1"],
    "matrix: {t: [0, 1]}\n    key: T${{ matrix.t }}\n    repeat: 1": ["T0,repeat=0", "T1,repeat=0"],
    "matrix: {t: [0, 1], u: [5]}\n    key: T${{ matrix.t }}": ["T0,u=5", "T1,u=5"],
    "matrix: {t: [{n: a}, {n: b}], tt: [5]}\n    key: ${{ matrix.t.n }}": ["a,tt=5", "b,tt=5"],
    "matrix: {t: [0, 1], u: [5]}\n    key: ${{ json(matrix) }}": ['{"t": 0, "u": 5}', '{"t": 1, "u": 5}'],
    "repeat: 0": [],
    "matrix: {t: '${{ range(3) }}'}": ["t=0", "t=1", "t=2"],
}


@pytest.mark.parametrize(("text", "expected"), KEYS.items(), ids=KEYS)
def test_keys(make: MakePlan, text: str, expected: list[str]) -> None:
    plan = make(f"steps:\n  s:\n    {text}\n    run: echo\n")
    assert keys(plan) == expected
    assert plan.steps["s"].instances == len(expected)


def test_places_follow_the_order_and_the_scope_has_every_name(make: MakePlan) -> None:
    plan = make("steps:\n  s:\n    foreach: [x, y]\n    as: w\n    matrix: {t: [0, 1]}\n    repeat: 2\n    run: echo\n")
    items, total = items_of_step(step_of(plan), {"params": {}})
    found = list(items)
    assert [item.index for item in found] == list(range(8))
    assert total == 8
    scope = instance_scope({"params": {}}, step_of(plan), found[5])
    assert scope == {"params": {}, "w": "y", "matrix": {"t": 0}, "repeat": 1, "key": "1,t=0,repeat=1"}
    alone = make("steps:\n  s:\n    matrix: {t: [0]}\n    run: echo\n")
    item = next(items_of_step(step_of(alone), {})[0])
    assert instance_scope({}, step_of(alone), item) == {"matrix": {"t": 0}, "key": "t=0"}


def test_what_follows_another_step_keeps_its_keys_and_gets_its_own_place(make: MakePlan) -> None:
    text = (
        "steps:\n  a:\n    matrix: {t: [0, 1]}\n    run: echo\n"
        "  s:\n    foreach: ${{ steps.a.results }}\n    matrix: {t: [5, 6]}\n    repeat: 2\n    run: echo\n"
    )
    combinations = combinations_of(step_of(make(text)), {})
    found = [
        (item.index, item.key) for place in (1, 0) for item in combinations.of(Item(place, f"t={place}", {"key": "k"}))
    ]
    assert found == [
        *((4, "t=1,t=5,repeat=0"), (5, "t=1,t=5,repeat=1"), (6, "t=1,t=6,repeat=0"), (7, "t=1,t=6,repeat=1")),
        *((0, "t=0,t=5,repeat=0"), (1, "t=0,t=5,repeat=1"), (2, "t=0,t=6,repeat=0"), (3, "t=0,t=6,repeat=1")),
    ]


def test_a_step_without_them_passes_items_through(make: MakePlan) -> None:
    combinations = combinations_of(step_of(make("steps: {s: {foreach: [1], run: echo}}\n")), {})
    item = Item(3, "k", 1)
    assert next(combinations.of(item)) is item
    assert combinations.size == 1


def test_nothing_is_made_before_it_is_asked_for(make: MakePlan) -> None:
    text = (
        "steps:\n  s:\n    foreach: ${{ range(10 ** 12) }}\n"
        "    matrix: {a: '${{ range(10 ** 12) }}', b: '${{ range(10 ** 12) }}'}\n    repeat: 1_000_000\n    run: echo\n"
    )
    plan = make(text)
    items, total = items_of_step(step_of(plan), {"params": {}})
    assert total == 10**42 == plan.steps["s"].instances
    assert [item.key for item in islice(items, 2)] == ["0,a=0,b=0,repeat=0", "0,a=0,b=0,repeat=1"]


def test_what_is_too_much_to_count_is_not_counted() -> None:
    grid = Grid({"a": range(10**9)}, exclude=[{"a": 1}])
    assert grid.count() is None
    assert [one.text for one in islice(grid.walk(), 2)] == ["a=0", "a=2"]


def test_an_axis_from_an_earlier_step_is_known_when_that_is_done(make: MakePlan) -> None:
    text = (
        "steps:\n  a: {run: echo}\n"
        "  s:\n    matrix: {t: '${{ steps.a.output }}'}\n    repeat: ${{ steps.a.output | length }}\n    run: echo\n"
    )
    plan = make(text)
    assert plan.steps["s"].instances is None
    assert [(edge.source, edge.kind) for edge in plan.graph.into("s")] == [("a", "one")]
    assert keys(plan, {"steps": {"a": {"output": [7]}}}) == ["t=7,repeat=0"]


def test_an_axis_over_a_step_that_is_followed_waits_for_all_of_it(make: MakePlan) -> None:
    text = (
        "steps:\n  a: {foreach: [1], run: echo}\n"
        "  s: {foreach: '${{ steps.a.results }}', matrix: {t: '${{ steps.a.outputs }}'}, run: echo}\n"
    )
    assert [(edge.source, edge.kind) for edge in make(text).graph.into("s")] == [("a", "gather")]


def test_the_limit_cuts_instances(make: MakePlan) -> None:
    text = "steps:\n  s: {matrix: {t: [0, 1, 2]}, repeat: 2, run: echo}\n  one: {run: echo}\n"
    plan = make(text, limit=4)
    assert (plan.steps["s"].instances, plan.steps["one"].instances) == (4, 1)


WRONG = [
    ({"steps": {"a": {"output": "x"}}}, "the axis 't' got a text, and takes a list"),
    ({"steps": {"a": {"output": {"x": 1}}}}, "the axis 't' got an object, and takes a list"),
]


@pytest.mark.parametrize(("scope", "summary"), WRONG)
def test_an_axis_that_is_no_list(make: MakePlan, scope: Mapping[str, Any], summary: str) -> None:
    plan = make("steps:\n  a: {run: echo}\n  s: {matrix: {t: '${{ steps.a.output }}'}, run: echo}\n")
    with pytest.raises(ExpressionFailed) as caught:
        keys(plan, scope)
    assert (caught.value.summary, caught.value.where) == (summary, "s")


@pytest.mark.parametrize(
    ("value", "shown"), [(-1, "-1"), (2.5, "2.5"), ("2", "a text"), (True, "true"), (None, "null"), ([], "a list")]
)
def test_a_repeat_that_is_no_number(make: MakePlan, value: Any, shown: str) -> None:
    plan = make("steps:\n  a: {run: echo}\n  s: {repeat: '${{ steps.a.output }}', run: echo}\n")
    with pytest.raises(ExpressionFailed) as caught:
        keys(plan, {"steps": {"a": {"output": value}}})
    assert caught.value.summary == f"'repeat' got {shown}, and takes a whole number"


def test_rules_that_come_from_a_step_are_checked_when_they_are_there(make: MakePlan) -> None:
    text = (
        "steps:\n  a: {run: echo}\n"
        "  s: {matrix: {t: [0], include: '${{ steps.a.output.i }}', exclude: '${{ steps.a.output.e }}'}, run: echo}\n"
    )
    plan = make(text)
    assert keys(plan, {"steps": {"a": {"output": {"i": [{"t": 1}], "e": [{"t": 0}]}}}}) == ["t=1"]
    with pytest.raises(ExpressionFailed, match="'include' of the matrix takes a list of objects"):
        keys(plan, {"steps": {"a": {"output": {"i": [1], "e": []}}}})
    with pytest.raises(ExpressionFailed, match="'exclude' names 'u', which is no axis of the matrix"):
        keys(plan, {"steps": {"a": {"output": {"i": [], "e": [{"u": 0}]}}}})


def test_mistakes_that_the_plan_finds(refused: Refused) -> None:
    assert refused("steps:\n  s:\n    matrix: {t: [1, '1']}\n    run: echo\n") == [
        "5:13 items 0 and 1 have the same key 't=1' [choose a 'key' that is different for each item]"
    ]
    assert refused("steps:\n  s:\n    matrix: {t: [1, 2]}\n    key: ${{ matrix.t > 0 }}\n    run: echo\n") == [
        "6:10 items 0 and 1 have the same key 'true' [choose a 'key' that is different for each item]"
    ]
    assert refused(
        "params: {n: {type: string, default: x}}\nsteps:\n  s:\n    repeat: ${{ params.n }}\n    run: x\n"
    ) == ["6:13 'repeat' got a text, and takes a whole number"]
    assert refused("steps:\n  s:\n    foreach: {glob: 'none/*.txt'}\n    run: echo\n") == [
        "5:14 no file fits 'none/*.txt' "
        "[a pattern is relative to the workflow, such as 'data/*.txt'; '**' stands for any folders]"
    ]


class Watched(dict[str, Any]):
    """Counts how often it is looked into."""

    looks = 0

    def __getitem__(self, name: str) -> Any:
        Watched.looks += 1
        return super().__getitem__(name)


def test_items_are_asked_for_again_without_a_new_look_at_the_list(make: MakePlan) -> None:
    plan = make("params: {rows: {type: array, default: [a]}}\nsteps: {s: {foreach: '${{ params.rows }}', run: x}}")
    rows = [f"row {n}" for n in range(50)]
    Watched.looks = 0
    again = items_again(plan.steps["s"].step, {"params": Watched(rows=rows)})
    assert Watched.looks == 0
    found = [again(index) for index in range(50)]
    assert [item.value for item in found if item is not None] == rows
    assert Watched.looks == 1


def test_rows_on_an_axis_are_told_apart_as_lists_are(tmp_path: Path) -> None:
    one, other = (
        write_rows_file(map(line_of, rows), tmp_path / name, within=tmp_path)
        for name, rows in (("a", [1, 2]), ("b", [3]))
    )
    grid = Grid({"x": [one, other]}, exclude=[{"x": [3]}])
    plain = Grid({"x": [[1, 2], [3]]}, exclude=[{"x": [3]}])
    assert [one.parts for one in grid.walk()] == [one.parts for one in plain.walk()] == [{"x": "x=0"}]
