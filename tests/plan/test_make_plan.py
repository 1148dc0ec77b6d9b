"""The plan: parameters bound, instances counted where they can be known, and what only a plan can find wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from metis_flow.errors import ParameterError, WorkflowInvalid
from metis_flow.plan.plan import Plan, load_plan

MakePlan = Callable[..., Plan]
Refused = Callable[..., list[str]]


def counts(plan: Plan) -> dict[str, int | None]:
    return {name: step.instances for name, step in plan.steps.items()}


COUNTS = [
    ("run: x", 1),
    ("run: x, foreach: [a, b, c]", 3),
    ("run: x, foreach: {a: 1, b: 2}", 2),
    ("run: x, foreach: []", 0),
    ("run: x, foreach: '${{ range(1000) }}'", 1000),
    ("run: x, foreach: '${{ range(10**18) }}'", 10**18),
    ("run: x, foreach: '${{ params.names }}'", 4),
    ("run: x, foreach: '${{ params.names[:2] }}'", 2),
    ("run: x, foreach: '${{ range(params.n) }}'", 7),
    ("run: x, foreach: ['${{ params.n }}', '${{ params.n + 1 }}']", 2),
    ("run: x, foreach: '${{ steps.a.output }}'", None),
    ("run: x, foreach: '${{ steps.f.results }}'", None),
    ("run: x, foreach: '${{ [run.id] }}'", None),
]
PARAMS = "params: {names: {type: array, default: [a, b, c, d]}, n: {type: integer, default: 7}}\n"


@pytest.mark.parametrize(("step", "count"), COUNTS)
def test_instances(make: MakePlan, step: str, count: int | None) -> None:
    text = f"{PARAMS}steps:\n  a: {{run: x}}\n  f: {{run: x, foreach: [1]}}\n  s: {{{step}}}\n"
    assert counts(make(text)) == {"a": 1, "f": 1, "s": count}
    limited = count if count is None or step == "run: x" else min(count, 2)
    assert counts(make(text, limit=2)) == {"a": 1, "f": 1, "s": limited}


def test_parameters_are_bound(make: MakePlan, tmp_path: Path) -> None:
    plan = make(f"{PARAMS}steps: {{s: {{run: x, foreach: '${{{{ range(params.n) }}}}'}}}}", {"n": "3"})
    assert (plan.params, counts(plan)) == ({"names": ["a", "b", "c", "d"], "n": 3}, {"s": 3})
    text = "params: {p: {type: path, default: d/x}}\nsteps: {s: {run: x}}"
    assert make(text).params == {"p": f"{tmp_path}/d/x"}
    with pytest.raises(ParameterError, match="has no parameter 'q'"):
        make(text, {"q": 1})


def test_what_a_plan_says_of_its_steps(make: MakePlan) -> None:
    text = """\
steps:
  a: {uses: count, with: {values: [1]}}
  b: {python: 'mine:f', with: {x: '${{ steps.a.output }}'}}
  c: {foreach: [1], chat: x}
  d: {foreach: '${{ steps.c.results }}', run: x}
  e: {foreach: '${{ steps.d.results }}', run: x}
outputs: {x: '${{ steps.e.outputs }}'}
"""
    plan = make(text, files={"mine.py": "def f(x): return x\n"})
    assert plan.has_chat
    assert plan.gathered == {"a", "e"}
    assert [name for name, step in plan.steps.items() if step.source_hash] == ["a", "b"]
    changed = make(text, files={"mine.py": "def f(x): return 1\n"})
    differing = [name for name in plan.steps if plan.steps[name].source_hash != changed.steps[name].source_hash]
    assert differing == ["b"]
    assert not make("steps: {s: {run: x}}").has_chat


DIFFERENT = "[choose a 'key' that is different for each item]"
REFUSED = [
    ("foreach: ${{ 5 }}\n    run: x", ["5:14 'foreach' got a number, and takes a list, an object or a range"]),
    ("foreach: ${{ [1][3] }}\n    run: x", ["5:14 a list has no '3' [check the name, or test it with 'is defined']"]),
    (
        "foreach: [{a: 1}, {a: 1}]\n    key: ${{ item.a }}\n    run: x",
        [f"6:10 items 0 and 1 have the same key '1' {DIFFERENT}"],
    ),
    ("foreach: [1, '1']\n    key: ${{ item }}\n    run: x", [f"6:10 items 0 and 1 have the same key '1' {DIFFERENT}"]),
    (
        "foreach: [{a: 1}, {b: 1}]\n    key: ${{ item.a }}\n    run: x",
        ["6:10 there is no 'a' in this object (known: b) [check the name, or test it with 'is defined']"],
    ),
    (
        "foreach: [[1]]\n    key: ${{ item }}\n    run: x",
        ["6:10 'key' is a list [a key is a text or a number, such as '${{ item.id }}']"],
    ),
    ("uses: read_row", ["5:11 there is no task 'read_row' [did you mean 'read_rows'?]"]),
    (
        "uses: read_rows\n    with: {pth: x}",
        [
            "5:11 the task 'read_rows' needs 'path' [add 'with: {path: …}']",
            "6:12 the task 'read_rows' takes no 'pth' [did you mean 'path'?]",
        ],
    ),
    ("python: mine:g", ["5:13 there is no function 'g' in mine.py [known: f]"]),
    (
        "python: mien:f",
        [
            "5:13 there is no module 'mien' beside the workflow (in FOLDER), and none is installed "
            "[did you mean 'mine'?]"
        ],
    ),
]


@pytest.mark.parametrize(("step", "expected"), REFUSED)
def test_refused(refused: Refused, tmp_path: Path, step: str, expected: list[str]) -> None:
    found = refused(f"steps:\n  s:\n    {step}\n", files={"mine.py": "def f(): pass\n"})
    assert [problem.replace(str(tmp_path), "FOLDER") for problem in found] == expected


def test_all_that_a_plan_finds_is_reported_in_file_order(refused: Refused) -> None:
    text = "steps:\n  b: {python: 'no:f', needs: a}\n  a: {uses: nope}\n  c: {foreach: '${{ 5 }}', uses: neither}\n"
    assert [problem.split()[0] for problem in refused(text)] == ["4:15", "5:13", "6:16", "6:34"]


def test_where_a_module_is_wrong_is_shown(make: MakePlan, tmp_path: Path) -> None:
    with pytest.raises(WorkflowInvalid) as caught:
        make("steps:\n  s: {python: 'mine:f'}\n", files={"mine.py": "x = 1\ndef f(:\n"})
    assert f"{tmp_path}/mine.py:2" in caught.value.render()


def test_keys_that_depend_on_a_run_are_left_to_it(make: MakePlan) -> None:
    plan = make("steps:\n  a: {run: x}\n  s:\n    foreach: [1, 1]\n    key: ${{ steps.a.output }}\n    run: x\n")
    assert counts(plan)["s"] == 2


def test_planning_does_nothing_else(make: MakePlan, tmp_path: Path) -> None:
    files = {"mine.py": "raise SystemExit('imported')\ndef f(): pass\n"}
    make("steps:\n  s: {python: 'mine:f'}\n  t: {run: 'touch here'}\n", files=files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.py", "w.yaml"]


def test_identical_inputs_give_an_identical_plan(repository: Path) -> None:
    for path in sorted((repository / "workflows").glob("*.yaml")):
        first, second = load_plan(path), load_plan(path)
        assert (first.graph, first.params, counts(first)) == (second.graph, second.params, counts(second))
        assert [step.source_hash for step in first.steps.values()] == [
            step.source_hash for step in second.steps.values()
        ]
