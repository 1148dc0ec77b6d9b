"""Content keys in memory: 64 bits of each and where its result is, in 28 bytes at most while it does not grow."""

from __future__ import annotations

from array import array
from collections.abc import Iterable


class ContentTable:
    """The best place for each prefix of a content key: open addressing over plain arrays.

    A dictionary of a million of them would take four times as much. Prefixes are as good as random, being of a hash;
    two keys that share one cost a result that is made again, since who reads it compares the whole key.
    """

    def __init__(self) -> None:
        self._prefixes = array("Q")
        self._places = array("Q")
        self._slots = array("I", bytes(4 * 1024))

    def __len__(self) -> int:
        return len(self._prefixes)

    def add(self, prefixes: array[int], places: Iterable[int]) -> None:
        """Take places in; of two for one prefix the greater number stays."""
        self._make_room(len(self._prefixes) + len(prefixes))
        own_prefixes, own_places, slots = self._prefixes, self._places, self._slots
        mask = len(slots) - 1
        for prefix, place in zip(prefixes, places, strict=True):
            slot = prefix & mask
            while row := slots[slot]:
                if own_prefixes[row - 1] == prefix:
                    if own_places[row - 1] < place:
                        own_places[row - 1] = place
                    break
                slot = (slot + 1) & mask
            else:
                own_prefixes.append(prefix)
                own_places.append(place)
                slots[slot] = len(own_prefixes)

    def find(self, prefix: int) -> int:
        """The place; 0 where there is none."""
        slots = self._slots
        mask = len(slots) - 1
        slot = prefix & mask
        while row := slots[slot]:
            if self._prefixes[row - 1] == prefix:
                return self._places[row - 1]
            slot = (slot + 1) & mask
        return 0

    def forget(self, prefix: int) -> None:
        """Know no place for a prefix any more; the next one that is added counts."""
        slots = self._slots
        mask = len(slots) - 1
        slot = prefix & mask
        while row := slots[slot]:
            if self._prefixes[row - 1] == prefix:
                self._places[row - 1] = 0
            slot = (slot + 1) & mask

    def _make_room(self, rows: int) -> None:
        size = len(self._slots)
        if 3 * rows <= 2 * size:
            return
        while 3 * rows > 2 * size:
            size *= 2
        self._slots = slots = array("I", bytes(4 * size))
        mask = size - 1
        for row, prefix in enumerate(self._prefixes, 1):
            slot = prefix & mask
            while slots[slot]:
                slot = (slot + 1) & mask
            slots[slot] = row
