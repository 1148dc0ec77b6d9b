"""Failures by their cause, and what came of them."""

from __future__ import annotations

from typing import Any

import pytest

from metis_flow.views.causes import cause_of
from metis_flow.views.failures import Consequence, find_failures


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no answer within its timeout of 2m", "no answer within its timeout of 45m"),
        ("cannot read '/data/a/x.csv': no such file", "cannot read 'rows/y.csv': no such file"),
        ("extract@10.1038-x: it failed", "extract@k-2: it failed"),
        ("request 0af3bc99d1 was cut", "request 7be00f12aa99 was cut"),
        ("it took 3.5e-3 s", "it took 1,200 s"),
        ("lost on host x3006c0s13b1n0", "lost on host x3111c7s2b0n1"),
        (
            "the answer is not what 'output' asks for: at 'gap': 'high: very' is not of type 'number'",
            "the answer is not what 'output' asks for: at 'gap': None is not of type 'number'",
        ),
        (
            "the output does not fit: {'a: b': 3} is not of type 'array'",
            "the output does not fit: 'x' is not of type 'array'",
        ),
        (
            "at 'rows.3.method': 'DFT+U' is not one of ['dft', 'other']",
            "at 'rows.12.method': 'guess' is not one of ['dft', 'other']",
        ),
        ("bad: " + "x" * 3000 + "1", "bad: " + "x" * 3000 + "2"),
    ],
)
def test_the_same_cause(one: str, other: str) -> None:
    assert cause_of(one) == cause_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the script ended with exit code 1", "the script ended with exit code 137"),
        ("ended by signal 9", "ended by signal 15"),
        ("the server answered with HTTP 500", "the server answered with HTTP 404"),
        ("at 'gap': 'x' is not of type 'number'", "at 'unit': 'x' is not of type 'number'"),
        ("at 'gap': 'x' is not of type 'number'", "at 'gap': 3 is not of type 'string'"),
        (
            "the answer is not what 'output' asks for: at 'gap': 'x' is not of type 'number'",
            "the answer is not what 'output' asks for: at 'unit': 'x' is not of type 'number'",
        ),
        ("'name' is a required property", "'unit' is a required property"),
        ("the script did not write 'a.json'", "the script did not write 'b.json'"),
    ],
)
def test_another_cause(one: str, other: str) -> None:
    assert cause_of(one) != cause_of(other)


def failed(step: str, index: int, summary: str, kind: str = "shell", **more: Any) -> dict[str, Any]:
    error = {"kind": kind, "summary": summary, "where": None, "hint": "look", "detail": None}
    return {"e": "failed", "step": step, "address": f"{step}@{index}", "index": index, "error": error, **more}


def skipped(step: str, index: int, reason: str, **more: Any) -> dict[str, Any]:
    return {"e": "skipped", "step": step, "address": f"{step}@{index}", "index": index, "reason": reason, **more}


def test_groups_are_by_kind_and_cause_with_the_first_item_as_the_example() -> None:
    found = find_failures(
        [
            failed("ask", 7, "no answer in 7 s", "timed_out"),
            failed("run", 0, "exit code 1", folder="steps/run/0"),
            failed("ask", 2, "no answer in 2 s", "timed_out"),
            failed("late", 0, "no answer in 3 s", "timed_out"),
            failed("ask", 5, "no answer in 5 s", "other"),
            {"e": "done", "step": "ask"},
        ]
    )
    assert [(group.kind, group.count, dict(group.steps)) for group in found.groups] == [
        ("timed_out", 3, {"ask": 2, "late": 1}),
        ("shell", 1, {"run": 1}),
        ("other", 1, {"ask": 1}),
    ]
    first = found.groups[0]
    assert (first.address, first.summary, first.cause) == ("ask@2", "no answer in 2 s", "no answer in … s")
    assert found.groups[1].as_json()["example"] == {
        "address": "run@0", "where": None, "hint": "look", "detail": None, "folder": "steps/run/0"
    }  # fmt: skip
    assert (found.count, found.consequences) == (5, [])


def test_consequences_are_told_by_the_step_where_it_began() -> None:
    found = find_failures(
        [
            failed("ask", 1, "wrong"),
            skipped("ask", 2, "its 'if' is false"),
            skipped("relax", 1, "ask failed"),
            skipped("relax", 2, "ask skipped"),  # nothing failed there
            failed("relax", 3, "exit code 2"),
            skipped("plot", 1, "relax skipped"),
            skipped("plot", 2, "relax skipped"),
            skipped("plot", 3, "relax failed"),
            failed(
                "sum", 0, "it gathers a step that failed (plot: 2 of 4 failed; ask: 1 of 4 failed)", "upstream_failed"
            ),
            skipped("mail", 0, "sum failed, load was skipped", whole=True),
            skipped("post", 0, "mail was skipped", whole=True),
            skipped("other", 0, "load was skipped", whole=True),
        ]
    )
    assert [group.address for group in found.groups] == ["ask@1", "relax@3"]
    assert found.consequences == [
        Consequence("relax", 0, 1, ("ask",)),
        Consequence("plot", 0, 2, ("ask", "relax")),
        Consequence("sum", 1, 0, ("ask", "relax")),
        Consequence("mail", 0, 1, ("ask", "relax")),
        Consequence("post", 0, 1, ("ask", "relax")),
    ]


def test_ten_thousand_failures_keep_one_example() -> None:
    found = find_failures(failed("ask", n, f"no answer in {n} s from /lus/{n}/x", "timed_out") for n in range(10_000))
    (group,) = found.groups
    assert (group.count, group.address) == (10_000, "ask@0")
