"""The JSON Schema of a function's parameters, derived from its signature."""

from __future__ import annotations

import inspect
import json
import os
import types
import typing
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from typing import Any

from metis_flow.errors import UsageError
from metis_flow.tasks.asking import Ask

_SIMPLE: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
}
_ARRAYS = (list, tuple, Sequence, Collection, Iterable)
_KNOWN = "str, int, float, bool, None, Any, list[...], dict[str, ...], Literal[...], TypedDict, Optional and Path"


def describe_parameters(func: Callable[..., Any], where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """JSON Schemas of the keyword arguments (one object) and of the result; ``{}`` where nothing is annotated.

    A parameter annotated as a path takes a string: values reach a task as JSON. The result of a task that asks is what
    its generator returns.

    Args:
        func: the function.
        where: ``file:line`` of the function, for errors.

    Raises:
        UsageError: a parameter that cannot be given by name, an annotation or a default with no place in JSON.
    """
    hints = _hints(func, where)
    properties: dict[str, Any] = {}
    required: list[str] = []
    more = False
    for parameter in inspect.signature(func).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            more = True
            continue
        _by_name(parameter, where)
        schema = _schema(hints.get(parameter.name, Any), f"parameter '{parameter.name}'", where)
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        else:
            schema = schema | {"default": _default(parameter, where)}
        properties[parameter.name] = schema
    arguments = {"type": "object", "properties": properties, "required": required, "additionalProperties": more}
    result = hints.get("return", Any)
    return arguments, _schema(typing.get_args(result)[2] if _is_asking(result) else result, "the result", where)


def asks(func: Callable[..., Any], where: str) -> bool:
    """Whether the function is annotated as a task that asks a model, ``-> Asking[…]``."""
    return _is_asking(_hints(func, where).get("return"))


def rows_params(func: Callable[..., Any]) -> frozenset[str]:
    """The parameters that take rows one after the other: those annotated ``Iterable[…]``, which promises no more."""
    try:
        hints = typing.get_type_hints(func)
    except Exception:  # only a task's annotations are known to be good
        return frozenset()
    return frozenset(name for name, hint in hints.items() if name != "return" and _is_iterable(hint))


def gives_rows(func: Callable[..., Any], where: str) -> bool:
    """Whether the function is a generator of rows, ``-> Iterable[…]``: its result is a list, made piece by piece."""
    return inspect.isgeneratorfunction(func) and _is_iterable(_hints(func, where).get("return"))


def _is_iterable(hint: Any) -> bool:
    return (typing.get_origin(hint) or hint) is Iterable


def _is_asking(hint: Any) -> bool:
    """Whether a return annotation is ``Asking[…]``."""
    return typing.get_origin(hint) is Generator and Ask in typing.get_args(typing.get_args(hint)[0])


def _hints(func: Callable[..., Any], where: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(func)
    except Exception as problem:
        raise UsageError(
            f"the annotations of '{func.__name__}' cannot be read: {problem}",
            where=where,
            hint=f"annotate with {_KNOWN}",
        ) from problem


def _by_name(parameter: inspect.Parameter, where: str) -> None:
    if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        return
    star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
    raise UsageError(
        f"parameter '{star}{parameter.name}' cannot be given by name",
        where=where,
        hint="a task is called with keyword arguments, those under `with`: take a list instead",
    )


def _default(parameter: inspect.Parameter, where: str) -> Any:
    default = str(parameter.default) if isinstance(parameter.default, os.PathLike) else parameter.default
    try:
        return json.loads(json.dumps(default, allow_nan=False))
    except (TypeError, ValueError):
        raise UsageError(
            f"the default of parameter '{parameter.name}' is a {type(default).__name__}, which is not JSON",
            where=where,
            hint="write None there and make the value inside the function",
        ) from None


def _schema(hint: Any, what: str, where: str) -> dict[str, Any]:
    if isinstance(hint, typing.Hashable) and hint in _SIMPLE:
        return dict(_SIMPLE[hint])
    origin = typing.get_origin(hint) or hint
    arguments = typing.get_args(hint)
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(one, what, where) for one in arguments]}
    if typing.is_typeddict(origin):
        fields = {
            name: _schema(one, f"'{name}' of {what}", where) for name, one in typing.get_type_hints(origin).items()
        }
        required = [name for name in fields if name in origin.__required_keys__]
        return {"type": "object", "properties": fields, "required": required, "additionalProperties": False}
    if isinstance(origin, type):
        if issubclass(origin, os.PathLike):
            return {"type": "string"}
        if issubclass(origin, Mapping):
            inside = _schema(arguments[1], what, where) if len(arguments) == 2 else {}
            return {"type": "object", **({"additionalProperties": inside} if inside else {})}
        if origin in _ARRAYS:
            inside = _schema(arguments[0], what, where) if arguments and origin is not tuple else {}
            return {"type": "array", **({"items": inside} if inside else {})}
    shown = getattr(hint, "__name__", str(hint))
    raise UsageError(f"{what} is annotated as {shown}, which is not JSON", where=where, hint=f"annotate with {_KNOWN}")
