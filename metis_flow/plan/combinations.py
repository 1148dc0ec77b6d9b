"""What a step's ``matrix`` and ``repeat`` make of each of its items."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from typing import Any

from metis_flow.errors import ExpressionFailed
from metis_flow.plan.items import Item, items_of, known_length
from metis_flow.workflow.definition import MatrixDef, StepDef
from metis_flow.workflow.fan_out import mark
from metis_flow.workflow.functions import describe
from metis_flow.workflow.rows import Rows

MAX_COUNTED = 100_000
"""Most questions that are asked to know how many combinations ``include`` and ``exclude`` leave."""


@dataclass(frozen=True)
class Combination:
    """One combination of a matrix.

    Attributes:
        values: ``matrix.<axis>`` for each.
        parts: what each axis puts into the key, such as ``t=0``; what only ``include`` adds puts in nothing.
    """

    values: Mapping[str, Any]
    parts: Mapping[str, str]

    @property
    def text(self) -> str:
        """Its part of the key, such as ``t=0,w=cat``."""
        return ",".join(self.parts.values())


@dataclass(frozen=True)
class Combinations:
    """The combinations of a matrix, and the repeats, evaluated; nothing is multiplied out.

    Attributes:
        matrix: the combinations; None without ``matrix``.
        repeats: how often each comes; None without ``repeat``.
        size: what one item becomes; None where it is too much to count.
        stride: at least as many; what the items' places are apart.
    """

    matrix: Grid | None
    repeats: int | None
    size: int | None
    stride: int

    def of(self, item: Item) -> Iterator[Item]:
        """The instances of one item, in order: the last axis changes faster than the first, ``repeat`` fastest."""
        if self.matrix is None and self.repeats is None:
            return iter([item])
        return self._instances(item)

    def with_index(self, index: int, collection: Any, where: str) -> Item | None:
        """The instance with an index, out of those of all items of a collection; None where it has none such.

        Raises:
            ExpressionFailed: the collection is none.
        """
        place = index // self.stride
        if isinstance(collection, list | range | Rows):
            is_there = place < (known_length(collection) or 0)
            items = iter([Item(place, str(place), collection[place])] if is_there else [])
        else:
            items = islice(items_of(collection, where), place, place + 1)
        return next((item for item in all_of(items, self) if item.index == index), None)

    def _instances(self, item: Item) -> Iterator[Item]:
        index = item.index * self.stride
        for combination in self.matrix.walk() if self.matrix is not None else (None,):
            names: dict[str, Any] = {}
            parts: dict[str, str] = {}
            if combination is not None:
                names["matrix"] = combination.values
                parts = {f"matrix.{axis}": part for axis, part in combination.parts.items()}
            for number in range(1 if self.repeats is None else self.repeats):
                if self.repeats is not None:
                    names, parts = {**names, "repeat": number}, {**parts, "repeat": f"repeat={number}"}
                key = ",".join(part for part in (item.key, *parts.values()) if part is not None)
                yield Item(index, key, item.value, names, parts)
                index += 1


def combinations_of(step: StepDef, scope: Mapping[str, Any]) -> Combinations:
    """What a step's matrix and repeats make of each item.

    Args:
        scope: what the expressions of the whole step see.

    Raises:
        ExpressionFailed: an axis is no list, or ``repeat`` no whole number.
    """
    grid = None if step.matrix is None else _grid(step.matrix, scope, step.name)
    repeats = None if step.repeat is None else _repeats(step.repeat.evaluate(scope), step.name)
    times = 1 if repeats is None else repeats
    size = 1 if grid is None else grid.count()
    most = 1 if grid is None else grid.most
    return Combinations(grid, repeats, None if size is None else size * times, (most if size is None else size) * times)


def _repeats(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        shown = json.dumps(value) if isinstance(value, int | float) else describe(value)
        raise ExpressionFailed(f"'repeat' got {shown}, and takes a whole number", where=where)
    return value


def _grid(matrix: MatrixDef, scope: Mapping[str, Any], where: str) -> Grid:
    axes: dict[str, Sequence[Any]] = {}
    for name, value in matrix.axes:
        values = value.evaluate(scope)
        if not isinstance(values, list | range | Rows):
            summary = f"the axis '{name}' got {describe(values)}, and takes a list"
            raise ExpressionFailed(summary, where=where, hint="for instance 'matrix: {temperature: [0, 1]}'")
        axes[name] = values
    include = [] if matrix.include is None else _rows(matrix.include.evaluate(scope), "include", where)
    exclude = [] if matrix.exclude is None else _rows(matrix.exclude.evaluate(scope), "exclude", where)
    for name in (name for row in exclude for name in row if name not in axes):
        raise ExpressionFailed(f"'exclude' names '{name}', which is no axis of the matrix", where=where)
    return Grid(axes, include, exclude)


def _rows(value: Any, rule: str, where: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list | Rows) or not all(isinstance(row, Mapping) and row for row in value):
        raise ExpressionFailed(f"'{rule}' of the matrix takes a list of objects", where=where)
    return list(value)


@dataclass(frozen=True)
class Grid:
    """A matrix, evaluated. The rules are those of GitHub Actions.

    Attributes:
        exclude: a combination with all the values of one of these is left out.
        include: each is added to every combination whose axes it does not change, over what another one added; what
            can be added to none is a combination of its own, after the others.
    """

    axes: Mapping[str, Sequence[Any]]
    include: Sequence[Mapping[str, Any]] = ()
    exclude: Sequence[Mapping[str, Any]] = ()
    most: int = field(init=False)

    def __post_init__(self) -> None:
        most = 1 if self.axes else 0
        for values in self.axes.values():
            most *= _length(values)
        object.__setattr__(self, "most", most + len(self.include))

    def count(self) -> int | None:
        """How many combinations there are; None where it is too much to count."""
        if not self.include and not self.exclude:
            return self.most
        questions = self.most * (1 + self._included.effort + self._excluded.effort)
        return sum(1 for _ in self.walk()) if questions <= MAX_COUNTED else None

    def walk(self) -> Iterator[Combination]:
        """The combinations, in order."""
        used: set[int] = set()
        for values, parts in self._product():
            if not self._excluded.fitting(values):
                yield self._extended(values, parts, used)
        for number, row in enumerate(self.include):
            if number not in used:
                names = [*(name for name in self.axes if name in row), *(name for name in row if name not in self.axes)]
                yield Combination(dict(row), {name: f"{name}={_word(row[name])}" for name in names})

    def _extended(self, values: dict[str, Any], parts: dict[str, str], used: set[int]) -> Combination:
        whole = dict(values)
        for number in self._included.fitting(values):
            whole.update(self.include[number])
            used.add(number)
        return Combination(whole, parts)

    @cached_property
    def _included(self) -> _Rules:
        return _Rules(self.include, self.axes)

    @cached_property
    def _excluded(self) -> _Rules:
        return _Rules(self.exclude, self.axes)

    def _product(self) -> Iterator[_State]:
        """Every combination of the axes, and its parts of the key; ranges stay what they are."""
        if not self.axes:
            return
        states: Iterator[_State] = iter([({}, {})])
        for name, values in self.axes.items():
            states = _crossed(states, name, values)
        yield from states


_State = tuple[dict[str, Any], dict[str, str]]


def _crossed(states: Iterator[_State], name: str, values: Sequence[Any]) -> Iterator[_State]:
    for before, parts in states:
        for index, value in enumerate(values):
            # what is no word goes by its place, or keys would be as long as the values
            word = str(index) if isinstance(value, list | Mapping | range | Rows) else _word(value)
            yield {**before, name: value}, {**parts, name: f"{name}={word}"}


class _Rules:
    """The rows of ``include`` or ``exclude``, found by what they say of the axes.

    Args:
        rows: the rows.
        axes: the names of the axes; what a row says of anything else does not matter.

    Attributes:
        effort: at most so many questions are asked about a combination.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], axes: Mapping[str, Any]) -> None:
        self._groups: dict[tuple[str, ...], dict[tuple[Any, ...], list[int]]] = {}
        for number, row in enumerate(rows):
            names = tuple(name for name in axes if name in row)
            group = self._groups.setdefault(names, {})
            group.setdefault(tuple(mark(row[name]) for name in names), []).append(number)
        self.effort = sum(max(map(len, group.values())) for group in self._groups.values())

    def fitting(self, values: Mapping[str, Any]) -> list[int]:
        """The numbers of the rows that fit a combination, in order."""
        if not self._groups:
            return []
        marks = {name: mark(value) for name, value in values.items()}
        found = (group.get(tuple(marks[name] for name in names), ()) for names, group in self._groups.items())
        return sorted(chain.from_iterable(found))


def _word(value: Any) -> str:
    return str(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _length(values: Sequence[Any]) -> int:
    if isinstance(values, range):  # len() has an upper limit
        return max(0, -((values.start - values.stop) // values.step))
    return len(values)


def all_of(items: Iterator[Item], combinations: Combinations) -> Iterator[Item]:
    """The instances of all items, in order."""
    return chain.from_iterable(combinations.of(item) for item in items)
