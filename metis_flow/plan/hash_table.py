"""Numbers by hash: 64 bits of each hash and 64 of its number, in 28 bytes at most while it does not grow."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

_BITS = (1 << 64) - 1


def hash_of(text: str | None) -> int:
    """64 bits that stand for a text while this process lasts."""
    return hash(text) & _BITS


class HashTable:
    """The greatest number for each hash: open addressing over plain arrays.

    A dictionary of a million of them would take four times as much. Hashes are as good as random; two texts that share
    one are not told apart here, so whoever uses a number compares the whole text where that matters.
    """

    def __init__(self) -> None:
        self._hashes = array("Q")
        self._numbers = array("Q")
        self._slots = array("I", bytes(4 * 1024))

    def __len__(self) -> int:
        return len(self._hashes)

    @property
    def numbers(self) -> Iterable[int]:
        """All of them, in the order in which their hashes came first."""
        return iter(self._numbers)

    def add(self, hashes: Iterable[int], numbers: Iterable[int], *, at_most: int) -> None:
        """Take numbers in; of two for one hash the greater stays.

        Args:
            at_most: how many may come.
        """
        self._make_room(len(self._hashes) + at_most)
        own_hashes, own_numbers, slots = self._hashes, self._numbers, self._slots
        mask = len(slots) - 1
        for hashed, number in zip(hashes, numbers, strict=True):
            slot = hashed & mask
            while row := slots[slot]:
                if own_hashes[row - 1] == hashed:
                    if own_numbers[row - 1] < number:
                        own_numbers[row - 1] = number
                    break
                slot = (slot + 1) & mask
            else:
                own_hashes.append(hashed)
                own_numbers.append(number)
                slots[slot] = len(own_hashes)

    def find(self, hashed: int) -> int:
        """The number; 0 where there is none."""
        slots = self._slots
        mask = len(slots) - 1
        slot = hashed & mask
        while row := slots[slot]:
            if self._hashes[row - 1] == hashed:
                return self._numbers[row - 1]
            slot = (slot + 1) & mask
        return 0

    def forget(self, hashed: int) -> None:
        """Know no number for a hash any more; the next one that is added counts."""
        slots = self._slots
        mask = len(slots) - 1
        slot = hashed & mask
        while row := slots[slot]:
            if self._hashes[row - 1] == hashed:
                self._numbers[row - 1] = 0
            slot = (slot + 1) & mask

    def _make_room(self, rows: int) -> None:
        size = len(self._slots)
        if 3 * rows <= 2 * size:
            return
        while 3 * rows > 2 * size:
            size *= 2
        self._slots = slots = array("I", bytes(4 * size))
        mask = size - 1
        for row, hashed in enumerate(self._hashes, 1):
            slot = hashed & mask
            while slots[slot]:
                slot = (slot + 1) & mask
            slots[slot] = row
