"""Lists that are read piece by piece, so that a million rows need not be in memory at once."""

from __future__ import annotations

import json
from abc import abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, overload

from metis_flow.errors import RecordError

_NOTHING = object()


class Rows(Sequence[Any]):
    """A list of JSON values that is read when it is asked for. To expressions it is a list like any other.

    Safe for several threads; it pickles without what it holds, and reads the same elsewhere as long as the files of the
    run can be reached there.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    @abstractmethod
    def row(self, number: int) -> Any:
        """One row, by a number from 0 on that is not too great."""

    @abstractmethod
    def __iter__(self) -> Iterator[Any]: ...

    def plain(self) -> Rows:
        """The same as JSON, for a function: file references as their paths."""
        return self

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        numbers = range(len(self))[place]
        return self.row(numbers) if isinstance(numbers, int) else [self.row(number) for number in numbers]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list | Rows):
            return NotImplemented
        pairs = zip_longest(self, other, fillvalue=_NOTHING)
        return len(self) == len(other) and all(one == two for one, two in pairs)

    def __add__(self, other: Any) -> list[Any]:
        return [*self, *other] if isinstance(other, list | Rows) else NotImplemented

    def __radd__(self, other: Any) -> list[Any]:
        return [*other, *self] if isinstance(other, list) else NotImplemented

    def __mul__(self, times: int) -> list[Any]:
        return list(self) * times

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"<{len(self)} rows>"


@dataclass(frozen=True, eq=False, repr=False)
class FileRows(Rows):
    """Rows in a file of a run's record, one JSON value a line. They are known by their content, as files are.

    Attributes:
        path: of the file, absolute.
        length: how many there are.
        sha256: hash of the file, hex.
        size: bytes.
    """

    path: str
    length: int
    sha256: str
    size: int
    _places: array[int] = field(default_factory=lambda: array("Q"), init=False)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        with self._open() as file:
            for number in range(self.length):
                yield self._read(file, number)

    def row(self, number: int) -> Any:
        """See `Rows.row`. The first that is asked for so costs a walk through the file."""
        with self._open() as file:
            if len(self._places) < self.length:
                places = array("Q", _line_starts(file))
                self._places[:] = places
            file.seek(self._places[number] if number < len(self._places) else self.size)
            return self._read(file, number)

    def as_dict(self) -> dict[str, Any]:
        """The form in the journal."""
        return {"path": self.path, "rows": self.length, "bytes": self.size, "sha256": self.sha256}

    @classmethod
    def of(cls, data: dict[str, Any]) -> FileRows:
        """What `as_dict` gave."""
        return cls(data["path"], data["rows"], data["sha256"], data["bytes"])

    def __reduce__(self) -> tuple[Any, ...]:
        return FileRows, (self.path, self.length, self.sha256, self.size)

    def _open(self) -> BinaryIO:
        try:
            return Path(self.path).open("rb")
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from None

    def _read(self, file: BinaryIO, number: int) -> Any:
        line = file.readline()
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise self._lost(f"line {number + 1} of {self.length:,} is not as it was written") from None

    def _lost(self, reason: str) -> RecordError:
        hint = "resume the run: the step that made them runs again"
        return RecordError(f"the rows of a step cannot be read: {reason}", where=self.path, hint=hint)


def _line_starts(file: BinaryIO) -> Iterator[int]:
    place = 0
    for line in file:
        yield place
        place += len(line)
