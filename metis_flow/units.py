"""Durations, sizes and counts as people write them."""

from __future__ import annotations

import re

_LONGEST = 1_000
"""Most characters of a duration or a size; what is longer is none, and would take its time to be refused."""
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|[smhd])")
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{2})")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)


def parse_duration(text: str | int | float) -> float:
    """Seconds in a duration such as ``90``, ``"20m"``, ``"1h30m"`` or ``"1:00:00"`` (h:mm:ss, as PBS writes it).

    Raises:
        ValueError: the text is no duration, or it is not above zero.

    >>> parse_duration("1h30m")
    5400.0
    """
    seconds = _seconds_of(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(f"a duration is above zero, not {text!r}")
    return seconds


def _seconds_of(text: str | int | float) -> float:
    if isinstance(text, bool):
        raise ValueError(f"a duration is a number of seconds or such as '20m', not {text!r}")
    if isinstance(text, int | float):
        return float(text)
    if len(text) > _LONGEST:
        raise ValueError(f"a duration is a number of seconds or such as '20m', not a text of {len(text):,} characters")
    word = text.strip().lower()
    clock = _CLOCK.fullmatch(word)
    if clock:
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return float(hours * 3600 + minutes * 60 + seconds)
    parts = _PART.findall(word)
    if parts and _PART.sub("", word).strip() == "":
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"a duration is a number of seconds or such as '20m', '1h30m', not {text!r}") from None


def format_duration(seconds: float) -> str:
    """A short text for a duration in seconds.

    >>> format_duration(5400)
    '1h30m'
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{secs:02d}s"


def parse_size(text: str | int) -> int:
    """Bytes in a size such as ``1048576``, ``"4 MB"`` (10^6) or ``"4 MiB"`` (2^20).

    Raises:
        ValueError: the text is no size.
    """
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    if isinstance(text, str) and len(text) > _LONGEST:
        raise ValueError(f"a size is a number of bytes or such as '4 MB', not a text of {len(text):,} characters")
    match = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or match[2].lower() not in _BYTES:
        raise ValueError(f"a size is a number of bytes or such as '4 MB', '2 GiB', not {text!r}")
    return round(float(match[1]) * _BYTES[match[2].lower()])


def format_size(count: int) -> str:
    """A short text for a number of bytes, in powers of 1000.

    >>> format_size(1_500_000)
    '1.5 MB'
    """
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


def format_count(count: int) -> str:
    """A number with thin grouping, as tables show it.

    >>> format_count(1234567)
    '1,234,567'
    """
    return f"{count:,}"
