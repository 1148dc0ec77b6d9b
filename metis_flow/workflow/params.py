"""Parameters: their values from the command line, a file or the default, checked."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metis_flow.errors import ParameterError, WorkflowError, did_you_mean
from metis_flow.workflow.models import Param
from metis_flow.workflow.source import plain_scalar, read_document
from metis_flow.workflow.values import PathParam


def bind(
    specs: Mapping[str, Param], given: Mapping[str, Any], folder: Path, *, cwd: Path | None = None
) -> dict[str, Any]:
    """The value of every parameter.

    Args:
        specs: the parameters of the workflow.
        given: values from the user, of their own type or as text.
        folder: the workflow's folder; a default path is relative to it.
        cwd: what a path from the user is relative to; the current folder if None.

    Raises:
        ParameterError: one is unknown, missing or out of bounds.
    """
    for name in given:
        if name not in specs:
            hint = did_you_mean(name, specs) if specs else "this workflow has no parameters"
            raise ParameterError(f"the workflow has no parameter '{name}'", where=f"params.{name}", hint=hint)
    values: dict[str, Any] = {}
    for name, spec in specs.items():
        has_default = "default" in spec.model_fields_set
        if name in given and not (given[name] is None and has_default and spec.default is None):
            values[name] = convert(name, spec, given[name], cwd or Path.cwd())
        elif spec.default is not None or has_default:
            values[name] = None if spec.default is None else convert(name, spec, spec.default, folder, typed=True)
        else:
            raise ParameterError(
                f"the parameter '{name}' ({spec.type}) has no value",
                where=f"params.{name}",
                hint=f"give it: -p {name}=…",
            )
    return values


def parse_assignment(text: str) -> tuple[str, str]:
    """Name and value of ``NAME=VALUE``.

    Raises:
        ParameterError: there is no ``=``.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ParameterError(f"'{text}' is not NAME=VALUE", where="-p", hint="for instance -p temperature=0.2")
    return name.strip(), value


def read_params(path: Path) -> dict[str, Any]:
    """The values of a parameter file (YAML or JSON, one object).

    Raises:
        ParameterError: it cannot be read or holds no object.
    """
    try:
        document = read_document(path)
    except WorkflowError as error:
        raise ParameterError(error.summary, where=error.where, hint=error.hint, detail=error.detail) from None
    if document.problems:
        first = document.problems[0]
        raise ParameterError(first.summary, where=first.where, hint=first.hint, detail=first.detail)
    if not isinstance(document.data, dict):
        raise ParameterError("a parameter file holds 'name: value' lines", where=str(path))
    return document.data


def convert(name: str, spec: Param, value: Any, folder: Path, *, typed: bool = False) -> Any:
    """One value, as the parameter's type.

    Args:
        folder: what a relative path is relative to.
        typed: the value has its type already, as in the workflow file: a text stays a text.

    Raises:
        ParameterError: it does not fit.
    """
    where = f"params.{name}"
    if isinstance(value, str) and not typed:
        value = _from_text(spec.type, value, where)
    if spec.type == "path" and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not _fits(spec.type, value):
        raise ParameterError(f"'{name}' should be {_A[spec.type]}, not {_short(value)}", where=where)
    if not _is_finite(value):
        raise ParameterError(f"'{name}' holds a number that is not finite", where=where)
    if spec.enum is not None and not any(_equal(value, choice) for choice in spec.enum):
        choices = ", ".join(map(_short, spec.enum))
        raise ParameterError(f"'{name}' cannot be {_short(value)}", where=where, hint=f"one of: {choices}")
    for bound, wrong, word in ((spec.minimum, _below, "at least"), (spec.maximum, _above, "at most")):
        if bound is not None and isinstance(value, int | float) and wrong(value, bound):
            raise ParameterError(f"'{name}' is {value}, and should be {word} {_number(bound)}", where=where)
    if spec.type == "path":
        return PathParam(_absolute(value, folder))
    if spec.type == "number":
        return _as_float(value, name, where)
    return value


def mistakes_of(spec: Param) -> Iterator[tuple[str, str]]:
    """The field and the mistake of whatever in a parameter's declaration cannot be meant."""
    for field, bound in (("minimum", spec.minimum), ("maximum", spec.maximum)):
        if bound is not None and spec.type not in ("number", "integer"):
            yield field, f"'{field}' is for number and integer, not {spec.type}"
    if spec.minimum is not None and spec.maximum is not None and spec.minimum > spec.maximum:
        yield "maximum", f"'maximum' is below 'minimum', which is {_number(spec.minimum)}"
    for choice in spec.enum or ():
        if not _fits(spec.type, choice):
            yield "enum", f"'enum' holds {_short(choice)}, which is not {_A[spec.type]}"


_A = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "path": "a path",
    "array": "a list",
    "object": "an object",
}


def _below(value: float, bound: float) -> bool:
    return value < bound


def _above(value: float, bound: float) -> bool:
    return value > bound


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else str(value)


def _as_float(value: int | float, name: str, where: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ParameterError(f"'{name}' is too large for a number", where=where) from None


def _equal(value: Any, choice: Any) -> bool:
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_is_finite, value))


def _absolute(value: str, folder: Path) -> str:
    path = Path(os.path.expanduser(value))  # leaves '~name' as it is where there is no such user
    return str(path if path.is_absolute() else folder.absolute() / path)


def _from_text(kind: str, text: str, where: str) -> Any:
    if kind in ("string", "path"):
        return text
    if kind in ("array", "object"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise ParameterError(f"{_A[kind]} is given as JSON, not {_short(text)}", where=where) from None
    try:
        return plain_scalar(text.strip())
    except ValueError as error:
        raise ParameterError(str(error), where=where) from None


def _fits(kind: str, value: Any) -> bool:
    if kind in ("string", "path"):
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, list if kind == "array" else dict)


def _short(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
