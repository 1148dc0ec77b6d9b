"""Items of a fan-out: their order, their keys, and the addresses made from these."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from metis_flow.errors import ExpressionFailed
from metis_flow.plan.hash_table import HashTable, hash_of
from metis_flow.workflow.functions import address_of, describe
from metis_flow.workflow.rows import Rows


@dataclass(frozen=True)
class Item:
    """One item of a fan-out.

    Attributes:
        index: 0-based place in the order of items.
        key: its name, as data; None for the one instance of a step that has no other.
        value: the item itself.
        names: what else its expressions know: ``matrix`` and ``repeat``.
        parts: what each of these puts into the key: ``matrix.<axis>`` and ``repeat``.
    """

    index: int
    key: str | None
    value: Any = None
    names: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)


ONLY = Item(0, None)


def items_of(value: Any, where: str) -> Iterator[Item]:
    """The items of a list, object or range, lazily, with their default keys (a name in an object, else the index).

    Raises:
        ExpressionFailed: the value is something else.
    """
    if isinstance(value, Mapping):
        return (Item(index, str(name), part) for index, (name, part) in enumerate(value.items()))
    if isinstance(value, list | range | Rows):
        return (Item(index, str(index), part) for index, part in enumerate(value))
    raise ExpressionFailed(f"'foreach' got {describe(value)}, and takes a list, an object or a range", where=where)


def known_length(value: Any) -> int | None:
    """The number of items, where it can be known without walking over them."""
    if isinstance(value, range):  # len() has an upper limit
        return max(0, -((value.start - value.stop) // value.step))
    return len(value) if isinstance(value, list | Mapping | Rows) else None


MAX_KEY = 100_000
"""Most characters of a key."""


def key_text(value: Any) -> str:
    """A key as text.

    Raises:
        ExpressionFailed: it is neither a text, a number nor a boolean, or too long.
    """
    if isinstance(value, str):
        if len(value) > MAX_KEY:
            hint = "choose a short one that is different for each item, such as '${{ item.id }}'"
            raise ExpressionFailed(f"'key' has {len(value):,} characters, and may have {MAX_KEY:,}", hint=hint)
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    hint = "a key is a text or a number, such as '${{ item.id }}'"
    raise ExpressionFailed(f"'key' is {describe(value)}", hint=hint)


Again = Callable[[int], Item | None]
"""Gives the item with an index once more; None where that cannot be done."""


_GREATEST = 1 << 62
"""Indexes from here on are not told apart: the instances before would take for ever."""


class Keys:
    """The keys of one step so far. Two equal ones are an error that shows both items.

    They are told apart by their addresses, so that no two instances share a folder either. Of an item only its place is
    kept; the first of two equal ones is asked for again.
    """

    def __init__(self, step: str, again: Again = lambda index: None) -> None:
        self._step = step
        self._again = again
        self._indexes = HashTable()

    def add(self, item: Item) -> None:
        """Take note of an item.

        Raises:
            ExpressionFailed: an earlier item has the same key.
        """
        assert item.key is not None
        own, number = address_of(item.key), min(item.index, _GREATEST) + 1
        known = self._indexes.find(hash_of(own))
        if not known:
            self._indexes.add([hash_of(own)], [number], at_most=1)
        elif known != number:
            self._refuse(item, known - 1, own)

    def _refuse(self, item: Item, index: int, own: str) -> None:
        earlier = self._again(index)
        if earlier is not None and earlier.key is not None and address_of(earlier.key) != own:
            return  # two addresses with one hash
        shown = [f"item {one.index}: {_shown(one)}" for one in (earlier, item) if one is not None]
        raise ExpressionFailed(
            f"items {index} and {item.index} have the same key {item.key!r}",
            where=self._step,
            hint="choose a 'key' that is different for each item",
            detail="\n".join(shown),
        )


def _shown(item: Item) -> str:
    return _short({**item.names, "item": item.value} if item.names else item.value)


def address(step: str, key: str | None) -> str:
    """The address of an instance: ``step``, or ``step@`` and the short form of the key."""
    return step if key is None else f"{step}@{address_of(key)}"


def _short(value: Any) -> str:
    text = json.dumps(_start_of(value), ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:78] + " …"


def _start_of(value: Any) -> Any:
    """Enough of a value to show, however large it is."""
    if isinstance(value, str):
        return value[:80]
    if isinstance(value, Mapping):
        return {name: _start_of(part) for name, part in islice(value.items(), 8)}
    return [_start_of(part) for part in islice(value, 8)] if isinstance(value, list) else value
