"""The table of content keys in memory, against a plain dictionary."""

from __future__ import annotations

import random
from array import array

import pytest

from metis_flow.record.content_table import ContentTable


def filled(pairs: list[tuple[int, int]]) -> ContentTable:
    table = ContentTable()
    for begin in range(0, len(pairs), 700):
        part = pairs[begin : begin + 700]
        table.add(array("Q", [prefix for prefix, _ in part]), [place for _, place in part])
    return table


@pytest.mark.parametrize("seed", range(3))
def test_it_knows_the_greatest_place_of_each_prefix(seed: int) -> None:
    chance = random.Random(seed)
    # Few low bits, so that many prefixes want the same slot.
    prefixes = [chance.getrandbits(50) << 14 | chance.getrandbits(6) for _ in range(3000)] + [0, 2**64 - 1]
    pairs = [(chance.choice(prefixes), chance.getrandbits(63) + 1) for _ in range(6000)]
    known: dict[int, int] = {}
    for prefix, place in pairs:
        known[prefix] = max(known.get(prefix, 0), place)
    table = filled(pairs)
    assert len(table) == len(known)
    assert {prefix: table.find(prefix) for prefix in prefixes} == {prefix: known.get(prefix, 0) for prefix in prefixes}


def test_what_is_forgotten_is_not_found_until_it_is_added_again() -> None:
    table = filled([(5, 50), (5 + 4096, 60), (5 + 8192, 70)])
    table.forget(5 + 4096)
    table.forget(99)
    assert [table.find(prefix) for prefix in (5, 5 + 4096, 5 + 8192)] == [50, 0, 70]
    table.add(array("Q", [5 + 4096]), [1])
    assert table.find(5 + 4096) == 1
