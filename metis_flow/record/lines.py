"""One journal entry as one line: compact JSON whose last field is a checksum.

The checksum covers the line and its place in the file, so a line that was edited, moved or removed is noticed. It is
always the last 19 bytes, ``,"crc":"xxxxxxxx"}`` and a newline, and the line is still plain JSON for any other tool.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from metis_flow.errors import RecordError

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_ESCAPING = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))
_ENDING = 19


def encode(entry: Mapping[str, Any]) -> bytes:
    """The entry's JSON in UTF-8 without its closing brace, for `sealed`.

    Raises:
        RecordError: JSON has no form for something in it; the text names the place.
    """
    try:
        text = _ENCODER.encode(entry)
    except (ValueError, TypeError, RecursionError) as error:
        raise _refusal(entry, error) from None
    try:
        return text[:-1].encode()
    except UnicodeEncodeError:
        # A lone surrogate, as a model or a file name may hold. UTF-8 has no form for it; JSON's escapes do.
        return _ESCAPING.encode(entry)[:-1].encode()


def sealed(body: bytes, offset: int) -> bytes:
    """The finished line, for this place in bytes from the start of its file."""
    return body + b',"crc":"%08x"}\n' % zlib.crc32(body, offset & 0xFFFFFFFF)


def decode(line: bytes, offset: int) -> dict[str, Any]:
    """The entry in a line that was read at this place of its file.

    Raises:
        ValueError: the line is not as it was written.
    """
    if not is_whole(line, offset):
        raise ValueError("the line is not as it was written")
    entry: dict[str, Any] = json.loads(line[:-_ENDING].decode() + "}")
    return entry


def is_whole(line: bytes, offset: int) -> bool:
    """Whether a line that was read at this place of its file is as it was written."""
    return line.endswith(b',"crc":"%08x"}\n' % zlib.crc32(line[:-_ENDING], offset & 0xFFFFFFFF))


def _refusal(entry: Mapping[str, Any], error: Exception) -> RecordError:
    place, reason = _culprit(entry) or ("it", f"has no form in JSON ({error})")
    where = entry.get("step")
    if where is not None and entry.get("key") is not None:
        where = f"{where}@{entry['key']}"
    return RecordError(
        f"the '{entry.get('e')}' entry cannot be recorded: {place} {reason}",
        where=None if where is None else str(where),
        hint="return numbers, text, true, false, null, lists and objects; write anything else to a file",
    )


def _culprit(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first place in the entry that JSON has no form for, and why."""
    waiting: list[tuple[str, Any, int]] = [("", entry, 0)]
    while waiting:
        place, value, depth = waiting.pop()
        if depth > 500:
            return place[:60] + "…", "is nested too deeply, or holds itself"
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            return place, f"is {value}, a number that JSON does not have"
        if isinstance(value, Mapping):
            waiting.extend((f"{place}.{key}".lstrip("."), item, depth + 1) for key, item in reversed([*value.items()]))
        elif isinstance(value, list | tuple):
            waiting.extend((f"{place}[{i}]", value[i], depth + 1) for i in reversed(range(len(value))))
        elif not isinstance(value, str | int | float | None):
            return place, f"is of type {type(value).__name__}, which JSON does not have"
    return None
