"""Entries of one journal by their places, for several threads and, sent elsewhere, several processes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from metis_flow.errors import RecordError
from metis_flow.record.entry_reader import EntryReader
from metis_flow.record.last_entries import split
from metis_flow.record.segments import segment_path


class EntriesAt:
    """Reads entries that are durable.

    Args:
        folder: of the journal.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reader = EntryReader()
        self._lock = threading.Lock()

    def __getitem__(self, place: int) -> dict[str, Any]:
        """The entry at a place; see `metis_flow.record.last_entries.joined`.

        Raises:
            RecordError: it is not as it was written, or cannot be read.
        """
        with self._lock:
            return self._read(self._reader, place)

    def walk(self, places: Iterable[int]) -> Iterator[dict[str, Any]]:
        """One entry after the other. Raises as ``[]`` does."""
        with closing(EntryReader()) as reader:
            for place in places:
                yield self._read(reader, place)

    def _read(self, reader: EntryReader, place: int) -> dict[str, Any]:
        position, at = split(place)
        path = segment_path(self._folder, position + 1)
        try:
            return reader.entry(path, at)
        except OSError as error:
            hint = "go on later: metis-flow resume last"
            raise RecordError(f"the journal cannot be read: {error.strerror}", where=str(path), hint=hint) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return EntriesAt, (self._folder,)
