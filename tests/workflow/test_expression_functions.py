"""The functions of expressions, and the addresses that are made from keys."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_flow.workflow.expressions import compile_text
from metis_flow.workflow.functions import GLOBALS, Misfit, address_of, fence, join, json, lines, slug
from metis_flow.workflow.outputs import is_inside
from metis_flow.workflow.values import FileRef


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "```\na\n```"),
        ("a\n", "```\na\n```"),
        ("", "```\n\n```"),
        ("```\nx\n```", "````\n```\nx\n```\n````"),
        ("`````", "``````\n`````\n``````"),
        ({"a": [1]}, '```\n{"a": [1]}\n```'),
    ],
)
def test_fence(text: Any, expected: str) -> None:
    assert fence(text) == expected


@given(st.text(alphabet="`a\n", max_size=30))
@settings(derandomize=True, max_examples=100)
def test_a_text_cannot_close_its_fence(text: str) -> None:
    first, *inside, last = fence(text).split("\n")
    assert first == last
    assert not any(line.startswith(first) for line in inside)


def test_json() -> None:
    assert json({"b": 1, "a": ["é", None, True, 1e-5]}) == '{"b": 1, "a": ["é", null, true, 1e-05]}'
    assert json([1], indent=1) == "[\n 1\n]"
    assert json(range(3)) == "[0, 1, 2]"
    assert json(FileRef("/a/b", "ff", 1)) == '"/a/b"'
    for value in (float("nan"), [float("inf")], object()):
        with pytest.raises(Misfit, match="cannot be written as JSON"):
            json(value)


def test_lines_and_join() -> None:
    values = ["a", 1, None, True, {"b": 2}, [3], "c d"]
    assert lines(values) == 'a\n1\nnull\ntrue\n{"b": 2}\n[3]\nc d'
    assert join(values[:3]) == "a, 1, null"
    assert join(range(3), "-") == "0-1-2"
    assert join([]) == ""


def test_the_functions_of_the_language() -> None:
    assert sorted(GLOBALS) == ["fence", "join", "json", "len", "lines", "max", "min", "range", "slug", "sum", "zip"]
    value = compile_text("${{ [len('ab'), min(2, 1), max([1, 2]), sum([1, 2]), slug('a b')] }}", "w").evaluate({})
    assert value == [2, 1, 2, 3, "a-b"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Cu", "Cu"),
        ("10.1000/xyz (2)", "10.1000-xyz-2"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "item"),
        (".", "item"),
        ("", "item"),
        ("/", "item"),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("a\x00b\nc", "a-b-c"),
        ("Kr\u00fcger \U0001f600", "Kr-ger"),
        ("t=0,w=cat", "t=0,w=cat"),
        ("$(touch x);`y`", "touch-x-y"),
        (1.5, "1.5"),
    ],
)
def test_slug(value: Any, expected: str) -> None:
    assert slug(value) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("Cu", "Cu"),
        ("t=0,w=cat", "t=0,w=cat"),
        ("a" * 40, "a" * 40),
        ("a" * 41, "a" * 40 + "-c0f8bd4d"),
        ("10.1/x", "10.1-x-4d718a0a"),
        ("..", "item-5ec1f7e7"),
        ("", "item-e3b0c442"),
        ("item", "item"),
        ("a.", "a-5ab640fa"),
        ("\ud800", "item-91a681b9"),
    ],
)
def test_address(key: str, expected: str) -> None:
    assert address_of(key) == expected


@given(st.text(max_size=80), st.text(max_size=80))
@settings(derandomize=True, max_examples=300)
def test_every_address_is_one_safe_word_and_no_other_keys(one: str, other: str) -> None:
    found = address_of(one)
    assert re.fullmatch(r"[A-Za-z0-9_=,][A-Za-z0-9._=,-]{0,48}", found)
    assert is_inside(found)
    assert (found == one) == (slug(one) == one and len(one) <= 40)
    if one != other:
        assert found != address_of(other)
