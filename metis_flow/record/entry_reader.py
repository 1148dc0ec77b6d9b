"""Reads single entries out of journals, wherever they are: few bytes each, few files open at a time."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from metis_flow.record import lines
from metis_flow.record.files import open_plain
from metis_flow.record.segments import damaged

_MOST_OPEN = 16
_BLOCK = 8192


class EntryReader:
    """Entries by file and place.

    Args:
        opener: opens a segment, or raises what `entry` then raises.
    """

    def __init__(self, opener: Callable[[Path], BinaryIO] = open_plain) -> None:
        self._opener = opener
        self._descriptors: OrderedDict[Path, int] = OrderedDict()

    def entry(self, path: Path, at: int) -> dict[str, Any]:
        """The entry that begins at a place, in bytes.

        Raises:
            RecordError: it is not as it was written, or the opener refuses the file.
            OSError: it cannot be read.
        """
        descriptor = self._descriptor(path)
        line = os.pread(descriptor, _BLOCK, at)
        while b"\n" not in line:
            more = os.pread(descriptor, max(_BLOCK, len(line)), at + len(line))
            if not more:
                break
            line += more
        try:
            return lines.decode(line[: line.find(b"\n") + 1], at)
        except (ValueError, RecursionError):
            raise damaged(f"the line at byte {at} is not as it was written", str(path)) from None

    def close(self) -> None:
        """Close what is open. It opens again what is asked for afterwards."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def __del__(self) -> None:
        self.close()

    def _descriptor(self, path: Path) -> int:
        found = self._descriptors.get(path)
        if found is None:
            if len(self._descriptors) >= _MOST_OPEN:
                os.close(self._descriptors.popitem(last=False)[1])
            with self._opener(path) as file:
                found = self._descriptors[path] = os.dup(file.fileno())
        else:
            self._descriptors.move_to_end(path)
        return found
