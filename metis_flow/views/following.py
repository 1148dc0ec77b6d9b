"""The journal of a run as it grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from metis_flow.record import lines
from metis_flow.record.files import open_plain
from metis_flow.record.folder import RunFolder
from metis_flow.record.ownership import holder_of
from metis_flow.record.segments import Segment, damaged, is_torn, segments

LOOK_SECONDS = 0.5


class JournalTail:
    """Reads a journal piece by piece, each entry once.

    Args:
        folder: ``RunFolder.journal``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 1
        self._at = 0

    def news(self) -> Iterator[dict[str, Any]]:
        """The entries that have become whole since the last time.

        Raises:
            RecordError: the journal is damaged; the text names file and place.
        """
        for segment in segments(self._folder)[self._number - 1 :]:
            if segment.number != self._number:
                self._number, self._at = segment.number, 0
            yield from self._rest_of(segment)

    def _rest_of(self, segment: Segment) -> Iterator[dict[str, Any]]:
        with open_plain(segment.path) as file:
            file.seek(self._at)
            for line in file:
                if segment.end is not None and self._at >= segment.end:
                    return
                try:
                    entry = lines.decode(line, self._at)
                except (ValueError, RecursionError):
                    if segment.end is None and is_torn(line):
                        return  # it is being written just now
                    place = f"{segment.path}, byte {self._at}"
                    raise damaged("a line is not as it was written", place) from None
                self._at += len(line)
                if entry["e"] != "segment":
                    yield entry


def follow(
    folder: RunFolder, *, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.time
) -> Iterator[dict[str, Any]]:
    """All entries of a run's journal, and those that come, until nobody drives the run any more.

    Args:
        clock: gives unix seconds, to tell a silent driver from a live one.

    Raises:
        RecordError: the record is damaged.
    """
    tail = JournalTail(folder.journal)
    while True:
        # Before the journal: a driver that ends in between has left its last entries there.
        holder = holder_of(folder)
        alive = holder is not None and not holder.gone(clock())
        yield from tail.news()
        if not alive:
            return
        sleep(LOOK_SECONDS)
