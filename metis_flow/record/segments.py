"""The journal's files: numbered segments, each ended either by its writer or by the segment after it.

A writer always begins a segment of its own, and writes into its first line how many bytes of the one before are valid
(``prior``). So nobody appends to a torn line, nothing is ever cut off, and whatever an overtaken writer still adds to
its own segment lies behind that end, where no reader looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_flow.errors import RecordError
from metis_flow.record import lines
from metis_flow.record.files import open_plain

JOURNAL_VERSION = 1
_NAME = re.compile(r"(\d{6})\.(jsonl|index\.json|keys)")


@dataclass(frozen=True)
class Segment:
    """One file of the journal.

    Attributes:
        number: from 1.
        header: its first line as it stands in the file.
        end: how many bytes are valid, as the next segment says; None for the last, which may still grow.
    """

    path: Path
    number: int
    header: bytes
    end: int | None

    @property
    def index_file(self) -> Path:
        return self.path.with_suffix(".index.json")

    @property
    def keys_file(self) -> Path:
        return self.path.with_suffix(".keys")

    def read(self) -> Iterator[tuple[int, dict[str, Any], int]]:
        """Each entry after the header, between where it begins and where it ends, in bytes.

        A torn tail of the last segment is normal and ends it: a line without its newline, or blocks of zeros that a
        crash left. Anything else that is not as it was written is damage.

        Raises:
            RecordError: damage, with file and line.
        """
        offset = 0
        with open_plain(self.path) as file:
            for number, line in enumerate(file, 1):
                if self.end is not None and offset >= self.end:
                    return
                try:
                    entry = lines.decode(line, offset)
                except (ValueError, RecursionError):
                    if self.end is None and is_torn(line):
                        return
                    raise damaged("a line is not as it was written", f"{self.path}:{number}") from None
                begin, offset = offset, offset + len(line)
                if number > 1:
                    yield begin, entry, offset
        if self.end is not None and offset < self.end:
            raise damaged(f"a segment holds {offset} bytes and should hold {self.end}", str(self.path))

    def entry_at(self, file: Any, offset: int) -> dict[str, Any]:
        """The entry at a place in bytes, from the segment opened in binary mode."""
        file.seek(offset)
        try:
            return lines.decode(file.readline(), offset)
        except (ValueError, RecursionError):
            raise damaged(f"the line at byte {offset} is not as it was written", str(self.path)) from None


def damaged(reason: str, where: str) -> RecordError:
    return RecordError(
        f"the journal is damaged: {reason}",
        where=where,
        hint="nothing was changed; bring the file back from a copy, or start a new run, which reuses what it can",
    )


def is_torn(line: bytes) -> bool:
    """Whether a crash explains it: the line has no end, or holds a zero byte, which no entry does."""
    return not line.endswith(b"\n") or b"\0" in line


def segments(folder: Path) -> list[Segment]:
    """The journal's segments in order; a last one whose first line is not there yet is left out.

    Raises:
        RecordError: a segment is missing or damaged, or was written by a newer metis-flow.
    """
    headers: list[tuple[Path, bytes, int]] = []
    numbers = _numbers(folder)
    for number in range(1, max(numbers, default=0) + 1):
        path = segment_path(folder, number)
        try:
            with open_plain(path) as file:
                header = file.readline()
        except FileNotFoundError:
            raise damaged(f"segment {path.name} is missing", str(folder)) from None
        if is_torn(header) and number == max(numbers):
            break
        headers.append((path, header, _prior(path, number, header)))
    ends: list[int | None] = [prior for _, _, prior in headers[1:]]
    return [
        Segment(path, number, header, end)
        for number, ((path, header, _), end) in enumerate(zip(headers, [*ends, None], strict=False), 1)
    ]


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.jsonl"


def header_line(number: int, prior: int, now: float) -> bytes:
    """The first line of a segment.

    Args:
        prior: bytes of the segment before that are valid; 0 for the first.
        now: unix seconds.
    """
    entry = {"e": "segment", "v": JOURNAL_VERSION, "n": number, "prior": prior, "t": now}
    return lines.sealed(lines.encode(entry), 0)


def _numbers(folder: Path) -> set[int]:
    if folder.is_symlink():
        raise RecordError("the journal's folder is a symbolic link", where=str(folder), hint="put the real one there")
    try:
        found = [_NAME.fullmatch(path.name) for path in folder.iterdir()]
    except FileNotFoundError:
        raise RecordError("the journal's folder is missing", where=str(folder)) from None
    return {int(match[1]) for match in found if match}


def _prior(path: Path, number: int, header: bytes) -> int:
    damage = damaged("a line is not as it was written", f"{path}:1")
    try:
        entry = lines.decode(header, 0)
    except (ValueError, RecursionError):
        raise damage from None
    version = entry.get("v")
    if isinstance(version, int) and version > JOURNAL_VERSION:
        raise RecordError(
            f"the journal has version {version}, and this metis-flow reads up to {JOURNAL_VERSION}",
            where=f"{path}:1",
            hint="read it with the metis-flow that wrote it, or a newer one",
        )
    prior = entry.get("prior")
    if entry.get("e") != "segment" or version != JOURNAL_VERSION or entry.get("n") != number:
        raise damage
    if not isinstance(prior, int):
        raise damage
    return prior
