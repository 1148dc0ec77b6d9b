"""Values that may hold expressions at any depth, compiled."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePath
from typing import Any

from metis_flow.errors import ExpressionFailed
from metis_flow.workflow.expressions import Template
from metis_flow.workflow.values import PathParam


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


MAX_PATTERN = 4096
MAX_FOLDERS = 100
MAX_ANY_DEPTH = 2


@dataclass(frozen=True)
class FilesOf:
    """The files that fit a pattern, each under a key: its path below the pattern's fixed folders, less a fixed ending.

    Attributes:
        pattern: such as ``data/*.txt``; ``**`` stands for any folders.
        folder: what it is relative to.
    """

    pattern: Value
    folder: Path

    @property
    def shown(self) -> str:
        """The pattern as it was written."""
        return self.pattern.source if isinstance(self.pattern, Template) else str(self.pattern.evaluate({}))

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The files, sorted by their paths.

        Raises:
            ExpressionFailed: no file fits.
        """
        pattern = str(self.pattern.evaluate(scope))
        if len(pattern) > MAX_PATTERN:
            raise ExpressionFailed(f"a pattern has {MAX_PATTERN:,} characters at most")
        if pattern.count("**") > MAX_ANY_DEPTH:
            hint = "one stands for any number of folders"
            raise ExpressionFailed(f"a pattern has {MAX_ANY_DEPTH} '**' at most", hint=hint)
        if pattern.count("/") > MAX_FOLDERS:
            raise ExpressionFailed(f"a pattern goes {MAX_FOLDERS} folders deep at most")
        try:
            names = sorted(glob.glob(pattern, root_dir=self.folder, recursive=True))
        except (OSError, ValueError):
            names = []  # a name that is too long, or holds NUL
        files = {name: self.folder / name for name in names}
        found = {_key_of(name, pattern): PathParam(path) for name, path in files.items() if path.is_file()}
        if not found:
            hint = "a pattern is relative to the workflow, such as 'data/*.txt'; '**' stands for any folders"
            raise ExpressionFailed(f"no file fits '{pattern}'", hint=hint)
        return found


def _key_of(name: str, pattern: str) -> str:
    """The path of a file below the fixed folders of the pattern, without the ending that all of them have."""
    fixed = list(takewhile(lambda part: not glob.has_magic(part), PurePath(pattern).parts[:-1]))
    ending = PurePath(pattern).suffix
    key = PurePath(*PurePath(name).parts[len(fixed) :]).as_posix()
    return key if glob.has_magic(ending) or ending == "" else key.removesuffix(ending)


Value = Constant | Template | ListOf | MapOf | FilesOf


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
    elif isinstance(value, FilesOf):
        yield from templates(value.pattern)


def reads_only(value: Value, names: AbstractSet[str]) -> bool:
    """Whether every expression inside a tree reads these names and no others."""
    return not any(template.names - names for template in templates(value))
