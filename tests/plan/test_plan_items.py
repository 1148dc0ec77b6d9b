"""Items of a fan-out, their keys and their addresses."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from metis_flow.errors import ExpressionFailed
from metis_flow.plan import items
from metis_flow.plan.items import Item, Keys, address, items_of, key_text, known_length


def keys(value: Any) -> list[tuple[int, str | None, Any]]:
    return [(item.index, item.key, item.value) for item in items_of(value, "s")]


def test_default_keys() -> None:
    assert keys(["a", "b"]) == [(0, "0", "a"), (1, "1", "b")]
    assert keys({"x": 1, "y": [2]}) == [(0, "x", 1), (1, "y", [2])]
    assert keys(range(5, 0, -2)) == [(0, "0", 5), (1, "1", 3), (2, "2", 1)]
    assert keys([]) == keys({}) == keys(range(0)) == []


def test_items_are_taken_one_by_one() -> None:
    assert [item.value for item in islice(items_of(range(10**30), "s"), 3)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("value", "kind"), [("abc", "a text"), (None, "null"), (5, "a number"), (True, "a boolean"), (1.5, "a number")]
)
def test_what_has_no_items(value: Any, kind: str) -> None:
    with pytest.raises(ExpressionFailed) as caught:
        items_of(value, "s")
    assert caught.value.summary == f"'foreach' got {kind}, and takes a list, an object or a range"
    assert caught.value.where == "s"


@pytest.mark.parametrize(
    ("value", "length"),
    [
        ([1, 2], 2),
        ({}, 0),
        (range(3), 3),
        (range(0, 10, 3), 4),
        (range(10, 0, -3), 4),
        (range(5, 0), 0),
        (range(10**30), 10**30),
        (iter([1]), None),
    ],
)
def test_known_length(value: Any, length: int | None) -> None:
    assert known_length(value) == length
    if isinstance(value, range) and value.stop < 100:
        assert length == len(value)


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), ("", ""), (1, "1"), (1.0, "1.0"), (1e-7, "1e-07"), (True, "true")]
)
def test_keys_are_texts(value: Any, text: str) -> None:
    assert key_text(value) == text


@pytest.mark.parametrize(("value", "kind"), [(None, "null"), ([1], "a list"), ({}, "an object")])
def test_what_is_no_key(value: Any, kind: str) -> None:
    with pytest.raises(ExpressionFailed) as caught:
        key_text(value)
    assert caught.value.summary == f"'key' is {kind}"
    assert caught.value.hint == "a key is a text or a number, such as '${{ item.id }}'"


def test_a_key_may_be_long_but_not_without_end() -> None:
    assert key_text("k" * 100_000) == "k" * 100_000
    with pytest.raises(ExpressionFailed) as caught:
        key_text("k" * 100_001)
    assert caught.value.summary == "'key' has 100,001 characters, and may have 100,000"
    assert caught.value.hint == "choose a short one that is different for each item, such as '${{ item.id }}'"


def test_two_equal_keys_show_both_items() -> None:
    first = Item(0, "Cu", {"name": "Cu", "rows": list(range(1000))})
    found = Keys("ask", {0: first}.get)
    found.add(first)
    found.add(Item(1, "Fe", 1))
    found.add(Item(1, "Fe", 1))  # the same item again is no second one
    with pytest.raises(ExpressionFailed) as caught:
        found.add(Item(7, "Cu", "x" * 1_000_000))
    assert caught.value.render() == (
        "ask: items 0 and 7 have the same key 'Cu'\n"
        '    item 0: {"name": "Cu", "rows": [0, 1, 2, 3, 4, 5, 6, 7]}\n'
        f'    item 7: "{"x" * 77} …\n'
        "  hint: choose a 'key' that is different for each item"
    )


def test_no_two_instances_share_an_address() -> None:
    found = Keys("ask")
    found.add(Item(0, "a."))
    with pytest.raises(ExpressionFailed):
        found.add(Item(1, "a-5ab640fa"))  # a key that is just what the other's address is


def test_addresses() -> None:
    assert address("ask", None) == "ask"
    assert address("ask", "Cu") == "ask@Cu"
    assert address("ask", "../x") == "ask@x-d6b96a97"


def test_two_addresses_with_one_hash_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "hash_of", lambda text: 7)
    known = [Item(0, "a"), Item(1, "b"), Item(2, "a")]
    found = Keys("ask", known.__getitem__)
    found.add(known[0])
    found.add(known[1])
    with pytest.raises(ExpressionFailed):
        found.add(known[2])
