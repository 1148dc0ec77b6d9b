"""Turning what a Python function returned into JSON, or saying exactly where it cannot be."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from metis_flow.errors import TaskFailed
from metis_flow.workflow.rows import Rows

_DEEPEST = 200
MOST_BITS = 13_287
"""Of a whole number: some 4,000 digits, as Python writes and reads no more than 4,300 of one."""
_FILE_HINT = "write it to a file in the step's folder and return the file's name"
_HINTS = {
    "bytes": _FILE_HINT,
    "bytearray": _FILE_HINT,
    "memoryview": _FILE_HINT,
    "set": "return sorted(...) of it, which is a list",
    "frozenset": "return sorted(...) of it, which is a list",
    "datetime": "return its .isoformat()",
    "date": "return its .isoformat()",
    "time": "return its .isoformat()",
    "DataFrame": "return its .to_dict('records'), or write a large table to a file",
    "generator": "return list(...) of it",
}


def to_json(value: Any, name: str = "result") -> Any:
    """The value as plain JSON: None, bool, int, float, str, lists and objects with string keys.

    Tuples become lists, paths strings, dataclasses and pydantic models objects; numpy scalars and arrays (and what
    else has ``dtype`` and ``tolist``, such as a pandas column or a torch tensor) numbers and lists.

    Args:
        value: what a function returned.
        name: what to call the value in an error.

    Raises:
        TaskFailed: a part of it is no JSON (NaN, infinity, bytes, sets, keys that are not strings, other objects),
            with the place in the value, such as ``result.rows[3].energy``.

    >>> to_json({"gaps": (1.1, 3.4)})
    {'gaps': [1.1, 3.4]}
    """
    return _convert(value, name, ())


def _convert(value: Any, at: str, above: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    # Subclasses (numpy.float64 is a float, numpy.str_ a str) become the plain type, so that they pickle without numpy.
    if isinstance(value, str):
        return value if type(value) is str else str.__str__(value)
    if isinstance(value, int):
        if value.bit_length() > MOST_BITS:
            raise TaskFailed(f"{at} is a whole number of more than 4,000 digits", hint="return it as text")
        return int(value)
    if isinstance(value, float):
        return _finite(float(value), at)
    if isinstance(value, PurePath):
        return os.fspath(value)
    if id(value) in above:
        raise TaskFailed(f"{at} contains itself, so it cannot be written as JSON", hint="return a plain table of it")
    if len(above) >= _DEEPEST:
        raise TaskFailed(f"{at} is nested deeper than {_DEEPEST} levels", hint=_FILE_HINT)
    return _convert_container(value, at, (*above, id(value)))


def _convert_container(value: Any, at: str, above: tuple[int, ...]) -> Any:
    if isinstance(value, list | tuple | Rows):
        return [_convert(part, f"{at}[{place}]", above) for place, part in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(key, at): _convert(part, _member(at, key), above) for key, part in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: _convert(getattr(value, f.name), _member(at, f.name), above) for f in fields}
    if not isinstance(value, type) and callable(getattr(value, "model_dump", None)):
        return _convert(value.model_dump(), at, above)
    if _is_array(value):
        return _convert(value.tolist(), at, above)
    raise _not_json(value, at)


def _finite(number: float, at: str) -> float:
    if math.isfinite(number):
        return number
    word = "NaN" if math.isnan(number) else "infinite"
    raise TaskFailed(
        f"{at} is {word}, which JSON cannot hold",
        hint="return None for a value that is missing, or write the numbers to a file and return the file's name",
    )


def _is_array(value: Any) -> bool:
    """Whether it is an array by its shape of object; times are left out: as numbers they would lose their unit."""
    if isinstance(value, type) or not hasattr(value, "dtype") or not callable(getattr(value, "tolist", None)):
        return False
    return getattr(value.dtype, "kind", "") not in ("m", "M")


def _key(key: Any, at: str) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    raise TaskFailed(
        f"{at} has the key {key!r}, which is {_article(type(key).__name__)}; JSON keys are strings",
        hint="write str(key), or return a list of objects",
    )


def _not_json(value: Any, at: str) -> TaskFailed:
    kind = type(value).__name__
    hint = _HINTS.get(kind, f"return numbers, text, lists and objects; {_FILE_HINT} where it is anything else")
    return TaskFailed(f"{at} is {_article(kind)}, which is not JSON", hint=hint)


def _article(word: str) -> str:
    return f"an {word}" if word[:1].lower() in "aeio" else f"a {word}"


def _member(at: str, key: Any) -> str:
    text = str(key)
    return f"{at}.{text}" if text.isidentifier() else f"{at}[{text!r}]"
