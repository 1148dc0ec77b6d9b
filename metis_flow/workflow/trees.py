"""Values that may hold expressions at any depth, compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from metis_flow.workflow.expressions import Template


@dataclass(frozen=True)
class Constant:
    """A value without expressions."""

    value: Any

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The value itself."""
        return self.value


@dataclass(frozen=True)
class ListOf:
    """A list with expressions inside."""

    items: tuple[Value, ...]

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The list, each item evaluated."""
        return [item.evaluate(scope) for item in self.items]


@dataclass(frozen=True)
class MapOf:
    """An object with expressions inside; keys are plain."""

    items: tuple[tuple[str, Value], ...]

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The object, each value evaluated."""
        return {name: item.evaluate(scope) for name, item in self.items}


Value = Constant | Template | ListOf | MapOf


def build(data: Any, compile_one: Callable[[str, tuple[str | int, ...]], Value], place: tuple[str | int, ...]) -> Value:
    """A tree over plain data, with each text compiled by ``compile_one(text, place)``."""
    if isinstance(data, str):
        return compile_one(data, place)
    if isinstance(data, dict):
        parts = tuple((name, build(value, compile_one, (*place, name))) for name, value in data.items())
        return MapOf(parts) if any(not isinstance(value, Constant) for _, value in parts) else Constant(data)
    if isinstance(data, list):
        items = tuple(build(value, compile_one, (*place, index)) for index, value in enumerate(data))
        return ListOf(items) if any(not isinstance(value, Constant) for value in items) else Constant(data)
    return Constant(data)


def templates(value: Value) -> Iterator[Template]:
    """Every expression inside a tree."""
    if isinstance(value, Template):
        yield value
    elif isinstance(value, ListOf):
        for item in value.items:
            yield from templates(item)
    elif isinstance(value, MapOf):
        for _, item in value.items:
            yield from templates(item)


def reads_only(value: Value, names: AbstractSet[str]) -> bool:
    """Whether every expression inside a tree reads these names and no others."""
    return not any(template.names - names for template in templates(value))
