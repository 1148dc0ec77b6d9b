"""The functions that expressions may call. They are pure, and nothing else is callable by name."""

from __future__ import annotations

import hashlib
import json as _json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from metis_flow.workflow.values import FileRef

ADDRESS_LENGTH = 40


class Misfit(ValueError):
    """A value that a function or an expression cannot take; the message says why in the user's terms."""


def fence(value: Any) -> str:
    """Text between two fence lines that it cannot close itself, so that a model can tell data from instructions.

    >>> print(fence("a"))
    ```
    a
    ```
    """
    text = value if isinstance(value, str) else json(value)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    newline = "" if text.endswith("\n") else "\n"
    return f"{ticks}\n{text}{newline}{ticks}"


def json(value: Any, indent: int | None = None) -> str:
    """The value as JSON text, with characters as they are and keys in their own order.

    Raises:
        Misfit: it holds something that is not JSON, such as infinity.
    """
    try:
        return _json.dumps(value, ensure_ascii=False, indent=indent, default=_plain, allow_nan=False)
    except (ValueError, TypeError) as error:
        raise Misfit(f"{describe(value)} cannot be written as JSON: {error}") from None


def lines(values: Iterable[Any]) -> str:
    """One item a line: strings as they are, anything else as JSON."""
    return join(values, "\n")


def join(values: Iterable[Any], separator: str = ", ") -> str:
    """The items joined: strings as they are, anything else as JSON."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise Misfit(f"join() and lines() take a list, not {describe(values)}")
    return separator.join(value if isinstance(value, str) else json(value) for value in values)


def slug(value: Any) -> str:
    """A word that is safe in a path: ASCII letters, digits and ``._=,-``; never empty, never led by a dot.

    >>> slug("10.1000/xyz (2)")
    '10.1000-xyz-2'
    """
    word = re.sub(r"[^A-Za-z0-9._=,-]+", "-", str(value)).strip("-.")
    return word or "item"


def address_of(key: str) -> str:
    """The short form of a key that paths, ``step@key`` and tables use.

    It is the slug cut to 40 characters, plus ``-`` and 8 hex digits of the key's SHA-256 where that changed it.
    """
    word = slug(key)[:ADDRESS_LENGTH]
    if word == key:
        return word
    return f"{word}-{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def describe(value: Any) -> str:
    """What kind of value it is, for messages."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if value is None:
        return "null"
    if isinstance(value, FileRef):
        return "a file"
    if isinstance(value, range):
        return "a range"
    if callable(value):
        return "a function"
    if isinstance(value, Iterable):
        return "a list"
    return f"a {type(value).__name__}"


def _plain(value: Any) -> Any:
    if isinstance(value, FileRef):
        return value.path
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


GLOBALS: dict[str, Any] = {
    "range": range,
    "fence": fence,
    "json": json,
    "lines": lines,
    "join": join,
    "slug": slug,
    "len": len,
    "min": min,
    "max": max,
    "sum": sum,
    "zip": zip,
}
STATUS_FUNCTIONS = frozenset({"success", "failure", "always"})
