"""The table of numbers by hash, against a plain dictionary."""

from __future__ import annotations

import random

import pytest

from metis_flow.plan.hash_table import HashTable, hash_of


def filled(pairs: list[tuple[int, int]]) -> HashTable:
    table = HashTable()
    for begin in range(0, len(pairs), 700):
        part = pairs[begin : begin + 700]
        table.add((hashed for hashed, _ in part), [number for _, number in part], at_most=len(part))
    return table


@pytest.mark.parametrize("seed", range(3))
def test_it_knows_the_greatest_number_of_each_hash(seed: int) -> None:
    chance = random.Random(seed)
    # Few low bits, so that many hashes want the same slot.
    hashes = [chance.getrandbits(50) << 14 | chance.getrandbits(6) for _ in range(3000)] + [0, 2**64 - 1]
    pairs = [(chance.choice(hashes), chance.getrandbits(63) + 1) for _ in range(6000)]
    known: dict[int, int] = {}
    for hashed, number in pairs:
        known[hashed] = max(known.get(hashed, 0), number)
    table = filled(pairs)
    assert len(table) == len(known)
    assert {hashed: table.find(hashed) for hashed in hashes} == {hashed: known.get(hashed, 0) for hashed in hashes}
    assert list(table.numbers) == list(known.values())


def test_what_is_forgotten_is_not_found_until_it_is_added_again() -> None:
    table = filled([(5, 50), (5 + 4096, 60), (5 + 8192, 70)])
    table.forget(5 + 4096)
    table.forget(99)
    assert [table.find(hashed) for hashed in (5, 5 + 4096, 5 + 8192)] == [50, 0, 70]
    table.add([5 + 4096], [1], at_most=1)
    assert table.find(5 + 4096) == 1


def test_hashes_have_64_bits() -> None:
    texts = [None, "", *map(str, range(1000))]
    assert len({hash_of(text) for text in texts}) == len(texts)
    assert all(0 <= hash_of(text) < 2**64 for text in texts)
