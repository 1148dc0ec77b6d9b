"""Where the results of a segment are, by content key: ``000001.keys``, beside each finished segment.

Derived, as the index is: whoever reads it trusts it only while the segment is the one that it describes, and else
looks through the segment itself. Two columns of 64-bit numbers make a million results a matter of 16 MB.
"""

from __future__ import annotations

import re
import sys
import zlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metis_flow.record import lines
from metis_flow.record.files import open_plain, write_atomic
from metis_flow.record.segments import Segment, damaged, is_torn

KEYS_VERSION = 1

MADE = 1 << 63
"""In a place: the result was made there, and is no copy of an earlier run's."""

_CK = re.compile(r"[0-9a-f]{64}")
_CK_IN_LINE = re.compile(rb',"ck":"([0-9a-f]{64})"')


def prefix_of(ck: object) -> int | None:
    """The first 64 bits of a content key; None for what is none."""
    return int(ck[:16], 16) if isinstance(ck, str) and _CK.fullmatch(ck) else None


@dataclass
class ContentRows:
    """Results of one segment, in the order of the file.

    Attributes:
        prefixes: the first 64 bits of each content key.
        places: where its entry begins, in bytes; with `MADE` where that is where it was made.
    """

    prefixes: array[int] = field(default_factory=lambda: array("Q"))
    places: array[int] = field(default_factory=lambda: array("Q"))

    def add(self, entry: Mapping[str, Any], at: int) -> None:
        """Fold in an entry that stands at this place; what is no result with a content key adds nothing."""
        prefix = prefix_of(entry.get("ck")) if entry.get("e") in ("done", "answer") else None
        if prefix is not None:
            self.prefixes.append(prefix)
            self.places.append(at if entry.get("cached") else at | MADE)

    def add_line(self, line: bytes, at: int) -> None:
        """As `add`, from a line that is whole. Only a line in doubt is decoded, as that takes ten times as long."""
        if b'"ck":"' not in line or (b'"e":"done"' not in line and b'"e":"answer"' not in line):
            return
        found = _CK_IN_LINE.search(line)
        is_plain = line.startswith((b'{"e":"done"', b'{"e":"answer"')) and b'"cached":' not in line
        if found is None or line.count(b'"ck":') > 1 or not is_plain:
            self.add(lines.decode(line, at), at)
        else:
            self.prefixes.append(int(found[1][:16], 16))
            self.places.append(at | MADE)


def scan(segment: Segment, rows: ContentRows, begin: int) -> int:
    """Add the results of a segment from a place on; where to go on once it has grown.

    Args:
        begin: the start of a line, in bytes.

    Raises:
        RecordError: the segment is damaged.
    """
    at = begin
    with open_plain(segment.path) as file:
        file.seek(begin)
        for line in file:
            if segment.end is not None and at >= segment.end:
                return at
            if not lines.is_whole(line, at):
                if segment.end is None and is_torn(line):
                    return at
                raise damaged(f"the line at byte {at} is not as it was written", str(segment.path))
            rows.add_line(line, at)
            at += len(line)
    if segment.end is not None and at < segment.end:
        raise damaged(f"a segment holds {at} bytes and should hold {segment.end}", str(segment.path))
    return at


def store(segment: Segment, rows: ContentRows, stamp: Mapping[str, Any], end: int) -> None:
    """Leave the rows beside a segment that nobody writes any more. For the owner of the run only.

    Args:
        stamp: what tells this segment from any other; see `metis_flow.record.index.stamp_of`.
        end: how many bytes of the segment the rows cover.
    """
    columns = _bytes_of(rows.prefixes) + _bytes_of(rows.places)
    header = {"v": KEYS_VERSION, **stamp, "end": end, "rows": len(rows.places), "sum": zlib.crc32(columns)}
    write_atomic(segment.keys_file, lines.sealed(lines.encode(header), 0) + columns, durable=False)


def load(segment: Segment, stamp: Mapping[str, Any]) -> tuple[ContentRows, int] | None:
    """The rows beside a segment, and how many bytes of it they cover; None if they are not there or not of it."""
    try:
        with open_plain(segment.keys_file) as file:
            header = lines.decode(file.readline(), 0)
            columns = file.read()
    except (FileNotFoundError, ValueError):
        return None
    wanted = {"v": KEYS_VERSION, **stamp, "sum": zlib.crc32(columns)}
    count, end = header.get("rows"), header.get("end")
    if {name: header.get(name) for name in wanted} != wanted or segment.end not in (None, end):
        return None
    if not isinstance(count, int) or not isinstance(end, int) or len(columns) != 16 * count:
        return None
    return ContentRows(_numbers_of(columns[: 8 * count]), _numbers_of(columns[8 * count :])), end


def _bytes_of(numbers: array[int]) -> bytes:
    if sys.byteorder == "little":
        return numbers.tobytes()
    swapped = array("Q", numbers)
    swapped.byteswap()
    return swapped.tobytes()


def _numbers_of(data: bytes) -> array[int]:
    numbers = array("Q", data)
    if sys.byteorder != "little":
        numbers.byteswap()
    return numbers
