"""Where the entry is that says how each instance of a run ended. Places only: memory does not grow with outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from metis_flow.record.index import FINAL, WHOLE, SegmentIndex

_PLACE_BITS = 40


@dataclass
class StepEnds:
    """How the instances of one step ended.

    Attributes:
        whole: whether the step was skipped as a whole.
        kinds: of the last final entry, by the instance's key.
        places: where that is: the segment's position in the journal, from 0, and the byte; see `split`.
    """

    whole: bool = False
    kinds: dict[str | None, str] = field(default_factory=dict)
    places: dict[str | None, int] = field(default_factory=dict)

    def rows(self) -> Iterator[tuple[str | None, str, int]]:
        """Key, kind and place of each instance that counts: what came before or after the step was skipped does not."""
        for key, kind in self.kinds.items():
            if (kind == WHOLE) == self.whole:
                yield key, kind, self.places[key]


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
            if step is not None and name != step:
                continue
            ends = steps.setdefault(name, StepEnds())
            ends.whole = rows.whole if rows.whole is not None else ends.whole
            for key, kind, at in rows.rows():
                if kind in FINAL:
                    ends.kinds[key] = kind
                    ends.places[key] = joined(position, at)
    return steps
