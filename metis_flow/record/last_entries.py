"""Where the entry is that says how each instance of a run ended. Places only, and few bytes of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from metis_flow.plan.hash_table import HashTable, hash_of
from metis_flow.record.index import FINAL, WHOLE, SegmentIndex, StepRows

_PLACE_BITS = 40
_KINDS = sorted(FINAL)
_CODES = {kind: code for code, kind in enumerate(_KINDS)}
_KIND_BITS = 3


@dataclass
class StepEnds:
    """How the instances of one step ended. What came before or after the step was skipped as a whole does not count.

    Keys are known by 64 bits of a hash: of a million, two are mistaken for one another once in forty million runs. Who
    reads the entry sees whose it is.

    Attributes:
        whole: whether the step was skipped as a whole.
    """

    whole: bool = False
    _ends: HashTable = field(default_factory=HashTable)

    def add(self, rows: StepRows, position: int) -> None:
        """Take in the next segment's part of the step.

        Args:
            position: of the segment in the journal, from 0.
        """
        self.whole = rows.whole if rows.whole is not None else self.whole
        hashes = [hash_of(key) for key in rows.keys]
        final = [number for number, kind in enumerate(rows.kind) if kind in FINAL]
        self._ends.add(
            (hashes[rows.number[row]] for row in final),
            ((joined(position, rows.at[row]) << _KIND_BITS | _CODES[rows.kind[row]]) + 1 for row in final),
            at_most=len(final),
        )

    def find(self, key: str | None) -> tuple[str, int] | None:
        """Kind and place of the last final entry of an instance: the segment's position and the byte, see `split`."""
        number = self._ends.find(hash_of(key)) - 1
        if number < 0:
            return None
        kind, place = _kind_of(number), number >> _KIND_BITS
        return (kind, place) if (kind == WHOLE) == self.whole else None

    def count(self) -> Counter[str]:
        """Instances by kind."""
        kinds = Counter((number - 1) & (1 << _KIND_BITS) - 1 for number in self._ends.numbers)
        return Counter({_KINDS[code]: count for code, count in kinds.items() if (_KINDS[code] == WHOLE) == self.whole})


def _kind_of(number: int) -> str:
    return _KINDS[number & (1 << _KIND_BITS) - 1]


def joined(position: int, at: int) -> int:
    """A place as one number; a later one is greater."""
    return position << _PLACE_BITS | at


def split(place: int) -> tuple[int, int]:
    """The segment's position in the journal, from 0, and the byte."""
    return place >> _PLACE_BITS, place & ((1 << _PLACE_BITS) - 1)


def last_entries(indexes: Iterable[SegmentIndex], step: str | None = None) -> dict[str, StepEnds]:
    """The last final entry of each instance, by step.

    Args:
        indexes: of all segments, in order; each is needed only while it is its turn.
        step: only this one.
    """
    steps: dict[str, StepEnds] = {}
    for position, index in enumerate(indexes):
        for name, rows in index.steps.items():
            if step is None or name == step:
                steps.setdefault(name, StepEnds()).add(rows, position)
    return steps
