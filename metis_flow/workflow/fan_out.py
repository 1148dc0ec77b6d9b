"""Reads what a step has an instance for: ``foreach``, ``matrix`` and ``repeat``, with ``as`` and ``key``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from metis_flow.errors import did_you_mean
from metis_flow.workflow.compiler import ANY_AXIS, BASE_NAMES, ROUND_NAMES, Compiler
from metis_flow.workflow.definition import MatrixDef
from metis_flow.workflow.expressions import Template, has_expression
from metis_flow.workflow.fields import VARIABLE_NAME
from metis_flow.workflow.functions import GLOBALS, STATUS_FUNCTIONS
from metis_flow.workflow.rows import Rows
from metis_flow.workflow.source import Location
from metis_flow.workflow.step_models import FAN_OUT
from metis_flow.workflow.trees import Constant, FilesOf, Value

RESERVED = (
    BASE_NAMES
    | ROUND_NAMES
    | GLOBALS.keys()
    | STATUS_FUNCTIONS
    | {"key", "output", "matrix", "repeat", "self", "loop"}
    | {"true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else"}
)
"""Names that ``as`` cannot give: those that expressions have already, and the words of their language."""
_RULES = ("include", "exclude")
MAX_AXES = 64
MAX_GUESSED = 100
"""Most values of an axis among which the one that was meant is looked for."""


@dataclass(frozen=True)
class FanOut:
    """What a step has an instance for.

    Attributes:
        item: the name that an item has in expressions.
        names: the names that the instances know because of it.
    """

    foreach: Value | None
    item: str
    matrix: MatrixDef | None
    repeat: Value | None
    key: Template | None
    names: frozenset[str]


def is_fan_out(raw: Any) -> bool:
    """Whether a step, as it is written, has more than the one instance."""
    return isinstance(raw, dict) and any(raw.get(name) is not None for name in FAN_OUT)


def read_fan_out(compiler: Compiler, raw: dict[str, Any], place: Location, folder: Path) -> FanOut:
    """What a step has an instance for; mistakes are noted with the compiler.

    Args:
        raw: the whole step.
        folder: the workflow's folder.
    """
    item = str(raw["as"]) if isinstance(raw.get("as"), str) else "item"
    if item in RESERVED:
        compiler.problem(f"the name '{item}' is taken", (*place, "as"), hint="choose another")
    foreach = None if raw.get("foreach") is None else _foreach(compiler, raw["foreach"], (*place, "foreach"), folder)
    matrix = _matrix(compiler, raw["matrix"], (*place, "matrix")) if isinstance(raw.get("matrix"), dict) else None
    repeat = None if raw.get("repeat") is None else compiler.single(raw["repeat"], (*place, "repeat"), BASE_NAMES)
    names = frozenset(
        ({item} if foreach is not None else set())
        | (
            _names_of(matrix)
            if matrix is not None
            else {"matrix", ANY_AXIS}
            if raw.get("matrix") is not None
            else set()
        )
        | ({"repeat"} if repeat is not None else set())
        | ({"key"} if is_fan_out(raw) else set())
    )
    key = _key(compiler, raw, (*place, "key"), BASE_NAMES | names - {"key"})
    return FanOut(foreach, item, matrix, repeat, key, names)


def _foreach(compiler: Compiler, raw: Any, place: Location, folder: Path) -> Value:
    if isinstance(raw, dict) and set(raw) == {"glob"}:
        return _files(compiler, raw["glob"], (*place, "glob"), folder)
    foreach = compiler.tree(raw, place, BASE_NAMES)
    if isinstance(foreach, Constant) and foreach.value is not None and not isinstance(foreach.value, list | dict):
        hint = "for instance 'foreach: ${{ steps.load.output }}'"
        compiler.problem("'foreach' should be a list, an object or an expression", place, hint=hint)
    elif isinstance(foreach, Template) and not foreach.lone:
        hint = "write 'foreach: ${{ … }}' on one line"
        compiler.problem("'foreach' takes one expression, without text around it", place, hint=hint)
    return foreach


def _files(compiler: Compiler, raw: Any, place: Location, folder: Path) -> Value:
    if not isinstance(raw, str) or not raw:
        compiler.problem("'glob' takes a pattern of file names", place, hint="for instance 'data/*.txt'")
        return Constant([])
    return FilesOf(compiler.text(raw, place, frozenset({"params"})), folder)


def _matrix(compiler: Compiler, raw: dict[str, Any], place: Location) -> MatrixDef:
    axes: list[tuple[str, Value]] = []
    for name, values in raw.items():
        if name in _RULES:
            continue
        if not re.fullmatch(VARIABLE_NAME, name):
            hint = "letters, digits and '_', no digit first"
            compiler.problem(f"the name '{name}' is not allowed", (*place, name), key=True, hint=hint)
        axes.append((name, compiler.single(values, (*place, name), BASE_NAMES)))
    rules = {
        rule: compiler.single(raw[rule], (*place, rule), BASE_NAMES) if raw.get(rule) is not None else None
        for rule in _RULES
    }
    if len(axes) > MAX_AXES:
        compiler.problem(
            f"a matrix has {MAX_AXES} axes at most", place, key=True, hint="put values that go together into objects"
        )
    if not axes and rules["include"] is None:
        compiler.problem("the matrix has no axes", place, hint="for instance 'matrix: {temperature: [0, 1]}'")
    matrix = MatrixDef(tuple(axes), rules["include"], rules["exclude"])
    _check_excluded(compiler, matrix, (*place, "exclude"))
    return matrix


def _check_excluded(compiler: Compiler, matrix: MatrixDef, place: Location) -> None:
    """What is left out must be there, or a slip of the pen would leave out nothing."""
    axes = dict(matrix.axes)
    marks = {name: {mark(value) for value in axis.value} for name, axis in axes.items() if _is_listed(axis)}
    rows = matrix.exclude.value if isinstance(matrix.exclude, Constant) else ()
    for index, row in enumerate(rows if isinstance(rows, list) else ()):
        for name, value in row.items() if isinstance(row, dict) else ():
            spot = (*place, index, name)
            axis = axes.get(name)
            if axis is None:
                hint = did_you_mean(name, axes)
                compiler.problem(f"the matrix has no axis '{name}'", spot, key=True, hint=hint)
            elif _is_listed(axis) and mark(value) not in marks[name]:
                hint = did_you_mean(str(value), [str(known) for known in axis.value[:MAX_GUESSED]])
                compiler.problem(f"the axis '{name}' has no such value to leave out", spot, hint=hint)


def _is_listed(axis: Value | None) -> TypeGuard[Constant]:
    return isinstance(axis, Constant) and isinstance(axis.value, list)


def mark(value: Any) -> Any:
    """Something to look a value of an axis up by: 1 and 1.0 are the same, 1 and true are not."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, Mapping):
        return ("object", frozenset((name, mark(part)) for name, part in value.items()))
    return ("list", *map(mark, value)) if isinstance(value, list | Rows) else value


def _names_of(matrix: MatrixDef) -> set[str]:
    """``matrix``, and each of its axes; those that only ``include`` brings as well."""
    known = {f"matrix.{name}" for name, _ in matrix.axes}
    if matrix.include is None:
        return {"matrix", *known}
    rows = matrix.include.value if isinstance(matrix.include, Constant) else None
    if not isinstance(rows, list):
        return {"matrix", ANY_AXIS}
    return {"matrix", *known, *(f"matrix.{name}" for row in rows if isinstance(row, dict) for name in row)}


def _key(compiler: Compiler, raw: dict[str, Any], place: Location, names: frozenset[str]) -> Template | None:
    if not isinstance(raw.get("key"), str) or not is_fan_out(raw):
        return None
    value = compiler.text(raw["key"], place, names)
    if isinstance(value, Template):
        return value
    if not has_expression(raw["key"]):
        compiler.problem("'key' is the same for every item", place, hint="for instance '${{ item.id }}'")
    return None
