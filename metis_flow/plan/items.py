"""Items of a fan-out: their order, their keys, and the addresses made from these."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metis_flow.errors import ExpressionFailed
from metis_flow.workflow.functions import address_of


@dataclass(frozen=True)
class Item:
    """One item of a fan-out.

    Attributes:
        index: 0-based place in the order of items.
        key: its name, as data; None for the one instance of a step without ``foreach``.
        value: the item itself.
    """

    index: int
    key: str | None
    value: Any = None


ONLY = Item(0, None)


def items_of(value: Any, where: str) -> Iterator[Item]:
    """The items of a list, object or range, lazily, with their default keys (a name in an object, else the index).

    Raises:
        ExpressionFailed: the value is something else.
    """
    if isinstance(value, Mapping):
        return (Item(index, str(name), part) for index, (name, part) in enumerate(value.items()))
    if isinstance(value, list | range):
        return (Item(index, str(index), part) for index, part in enumerate(value))
    kind = "a text" if isinstance(value, str) else "null" if value is None else f"a {type(value).__name__}"
    raise ExpressionFailed(f"'foreach' got {kind}, and takes a list, an object or a range", where=where)


def known_length(value: Any) -> int | None:
    """The number of items, where it can be known without walking over them."""
    return len(value) if isinstance(value, list | range | Mapping) else None


def key_text(value: Any) -> str:
    """A key as text.

    Raises:
        ExpressionFailed: it is neither a text, a number nor a boolean.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    kind = "null" if value is None else "a list or object"
    raise ExpressionFailed(f"'key' is {kind}", hint="a key is a text or a number, such as '${{ item.id }}'")


class Keys:
    """The keys of one step so far. Two equal ones are an error that shows both items."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._first: dict[str, int] = {}

    def add(self, item: Item) -> None:
        """Take note of an item.

        Raises:
            ExpressionFailed: an earlier item has the same key.
        """
        assert item.key is not None
        earlier = self._first.setdefault(item.key, item.index)
        if earlier != item.index:
            raise ExpressionFailed(
                f"items {earlier} and {item.index} have the same key {item.key!r}",
                where=self._step,
                hint="choose a 'key' that is different for each item",
                detail=f"item {item.index}: {_short(item.value)}",
            )


def address(step: str, key: str | None) -> str:
    """The address of an instance: ``step``, or ``step@`` and the short form of the key."""
    return step if key is None else f"{step}@{address_of(key)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else text[:200] + " …"
