"""How the instances of a step ended, for those that need it later: places in the journal, read back when asked for."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from metis_flow.engine.scope import Result, plain, result_of, step_view
from metis_flow.record.entries_at import EntriesAt
from metis_flow.record.journal import Written
from metis_flow.workflow.definition import StepDef
from metis_flow.workflow.rows import Rows

FEW = 1000
"""So many results become a plain list where something asks for them; more are read one by one."""
WAITING_IN_MEMORY = 200
"""So many results wait in memory for a step that follows; more are read back."""
_GREATEST = (1 << 64) - 1
_HELD = 1 << 63
_NEAR = 10_000


class Ends:
    """Reads results by their places.

    Args:
        journal: the folder of the journal that they are in; None where there is none.
        messages: whether the conversations that led to them are asked for too.

    Attributes:
        held: those that are in no journal; their places are `_HELD` and their number here.
    """

    def __init__(self, journal: Path | None, *, messages: bool) -> None:
        self.held: list[Result] = []
        self._entries = EntriesAt(journal) if journal is not None else None
        self._messages = messages

    def place_of(self, result: Result, written: Written | None) -> int:
        """Where a result can be read from now on; it is held where no journal has it."""
        if written is not None and written.place >= 0 and self._entries is not None:
            return written.place
        self.held.append(result)
        return _HELD | len(self.held) - 1

    def read(self, place: int) -> Result:
        """The result at a place.

        Raises:
            RecordError: its entry is not as it was written.
        """
        if place & _HELD or self._entries is None:
            return self.held[place ^ _HELD]
        return result_of(self._entries[place], messages=self._messages)

    def walk(self, places: Iterable[int]) -> Iterator[Result]:
        """One result after the other, as `read` gives them."""
        if self.held or self._entries is None:
            return map(self.read, places)
        return (result_of(entry, messages=self._messages) for entry in self._entries.walk(places))


class Kept:
    """The ends of a step's instances, in the order in which they came; 17 bytes of each.

    Args:
        journal: the folder of the journal that they are in; None where there is none, and they are held as they are.
        messages: whether the conversations that led to them are asked for too.
    """

    def __init__(self, journal: Path | None, *, messages: bool) -> None:
        self.messages = messages
        self._ends = Ends(journal, messages=messages)
        self._places = array("Q")
        self._indexes = array("Q")
        self._done = bytearray()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, result: Result, written: Written | None) -> None:
        """Take one more.

        Args:
            written: its entry in the journal; None where it has none.
        """
        self._places.append(self._ends.place_of(result, written))
        self._indexes.append(min(result.item.index, _GREATEST))
        self._done.append(result.status == "done")

    def result(self, position: int) -> Result:
        """One of them, by its number in the order in which they came."""
        return self._ends.read(self._places[position]).at_index(self._indexes[position])

    def with_index(self, index: int) -> Result | None:
        """The one of an item, looked for where it should be: they come about in the order of the items."""
        for position in range(max(0, index - _NEAR), min(len(self), index + _NEAR)):
            if self._indexes[position] == index:
                return self.result(position)
        return None

    def order(self) -> Iterable[int]:
        """Their numbers, in the order of the items."""
        return array("Q", sorted(range(len(self)), key=self._indexes.__getitem__))

    def view(self, step: StepDef, status: str, error: Mapping[str, Any] | None) -> dict[str, Any]:
        """``steps.<name>``, see `step_view`; its lists are lazy where they are long."""
        if len(self) <= FEW:
            return step_view(step, status, map(self.result, self.order()), error)
        order = self.order()
        results = array("Q", (self._places[number] for number in order))
        outputs = array("Q", (self._places[number] for number in order if self._done[number]))
        return {
            "status": status,
            "error": error,
            "outputs": ResultRows(self._ends, outputs, only_output=True),
            "results": ResultRows(self._ends, results, only_output=False),
        }


class ResultRows(Rows):
    """``outputs`` or ``results`` of a fan-out, read from the journal when they are asked for.

    Args:
        places: in the order of the items.
        only_output: whether a row is an output, or all that is told of a result.
        as_json: whether file references are given as their paths.
    """

    def __init__(self, ends: Ends, places: array[int], *, only_output: bool, as_json: bool = False) -> None:
        self._ends = ends
        self._places = places
        self._only_output = only_output
        self._as_json = as_json

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Any]:
        return map(self._shown, self._ends.walk(self._places))

    def row(self, number: int) -> Any:
        """See `Rows.row`."""
        return self._shown(self._ends.read(self._places[number]))

    def plain(self) -> Rows:
        """See `Rows.plain`."""
        return ResultRows(self._ends, self._places, only_output=self._only_output, as_json=True)

    def _shown(self, result: Result) -> Any:
        row = result.output if self._only_output else result.as_row()
        return plain(row) if self._as_json else row


class Backlog:
    """Results that a step has yet to follow, oldest first. Only the next few are in memory."""

    def __init__(self) -> None:
        self._near: deque[Result] = deque()
        self._numbers: Iterator[int] = count()
        self._source: Kept | None = None
        self._left = 0

    def __len__(self) -> int:
        return self._left

    def append(self, result: Result, source: Kept) -> None:
        """One more has come.

        Args:
            source: what has it already, as its last.
        """
        self._source = source
        if len(self._near) == self._left < WAITING_IN_MEMORY:
            self._near.append(result)
        self._left += 1

    def fill(self, source: Kept) -> None:
        """All have come; they are followed in the order of the items."""
        self._source, self._numbers, self._left = source, iter(source.order()), len(source)

    def popleft(self) -> Result:
        """Take the next one out."""
        assert self._source is not None
        self._left -= 1
        number = next(self._numbers)
        return self._near.popleft() if self._near else self._source.result(number)
