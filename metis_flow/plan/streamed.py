"""The JSON text of a value that holds rows, in pieces: the whole of it need not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from metis_flow.workflow.rows import Rows


class HoldsRows(TypeError):
    """A value that is to be written as JSON holds rows that are read when they are asked for."""


def pieces(value: Any, encode: Callable[[Any], str]) -> Iterator[str]:
    """What ``encode`` would give if all rows were lists, piece by piece.

    Args:
        encode: writes JSON without spaces, the names of an object in order.
    """
    if isinstance(value, Mapping):
        members = (_member(name, value[name], encode) for name in sorted(value))
        yield from _between("{", members, "}")
    elif isinstance(value, Rows):
        yield from _between("[", (_row(row, encode) for row in value), "]")
    elif isinstance(value, list | tuple):
        yield from _between("[", (pieces(part, encode) for part in value), "]")
    else:
        yield encode(value)


def _member(name: str, value: Any, encode: Callable[[Any], str]) -> Iterator[str]:
    yield f"{encode(name)}:"
    yield from pieces(value, encode)


def _row(row: Any, encode: Callable[[Any], str]) -> Iterable[str]:
    try:
        return (encode(row),)
    except HoldsRows:
        return pieces(row, encode)


def _between(opening: str, parts: Iterable[Iterable[str]], closing: str) -> Iterator[str]:
    yield opening
    for number, part in enumerate(parts):
        if number:
            yield ","
        yield from part
    yield closing
