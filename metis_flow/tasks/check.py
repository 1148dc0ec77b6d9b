"""Whether a function can be sent anywhere as it stands: the rules that `@task` applies at registration."""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from metis_flow.errors import UsageError
from metis_flow.tasks.beside import folder_of
from metis_flow.tasks.parameters import asks, gives_rows
from metis_flow.tasks.sources import files_of

_GLOBAL_OPS = frozenset({"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL"})
_CLASS_OPS = frozenset({"LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})  # these occur in class bodies only
_INSIDE = "a task is sent to other machines as its source alone"


def place_of(func: Callable[..., Any]) -> str:
    """``file:line`` of the function, as Python reports it."""
    code = getattr(func, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if isinstance(code, CodeType) else repr(func)


def task_source(func: Callable[..., Any]) -> str:
    """The function's source with its decorators, moved to the left margin.

    Raises:
        UsageError: it is no plain function, or Python knows no source for it (it was made by ``exec``).
    """
    _check_kind(func, place_of(func))
    try:
        return textwrap.dedent(inspect.getsource(func))
    except (OSError, TypeError):
        raise UsageError(
            f"the source of '{func.__name__}' cannot be found",
            where=place_of(func),
            hint="write the task in a file: its identity is the hash of its source",
        ) from None


def check_self_contained(func: Callable[..., Any], source: str) -> None:
    """Refuses a function that needs anything beyond its own source, Python's builtins and installed packages.

    Raises:
        UsageError: it is a closure, uses a name of its module, has a default that is not written out, or imports a
            module that lies beside it.
    """
    where = place_of(func)
    assert isinstance(func, FunctionType)
    if func.__code__.co_freevars:
        names = ", ".join(f"'{name}'" for name in func.__code__.co_freevars)
        raise UsageError(
            f"'{func.__name__}' uses {names} of the function around it",
            where=where,
            hint=f"{_INSIDE}: pass it as a parameter",
        )
    _check_globals(func, where)
    tree = ast.parse(source).body[0]
    assert isinstance(tree, ast.FunctionDef)
    _check_defaults(tree, where)
    _check_imports(func, tree)


def _check_kind(func: Callable[..., Any], where: str) -> None:
    hint = "write it with def and return"
    if not isinstance(func, FunctionType):
        found = f"a {type(func).__name__}"
    elif func.__name__ == "<lambda>":
        found = "a lambda"
    elif inspect.iscoroutinefunction(func) or inspect.isasyncgenfunction(func):
        found = f"'{func.__name__}', an async function"
    elif inspect.isgeneratorfunction(func) and not asks(func, where) and not gives_rows(func, where):
        found = f"'{func.__name__}', a generator"
        hint += "; one that yields the rows of a list says '-> Iterable[…]', and one that asks a model '-> Asking[…]'"
    else:
        return
    raise UsageError(f"a task is a plain function, not {found}", where=where, hint=hint)


def _check_globals(func: FunctionType, where: str) -> None:
    for line, name in _global_names(func.__code__):
        if hasattr(builtins, name):
            continue
        value = func.__globals__.get(name)
        if inspect.ismodule(value):
            hint = f"{_INSIDE}: write `import {value.__name__}` inside the function"
        elif callable(value) and getattr(value, "__module__", None) not in (None, func.__module__):
            hint = f"{_INSIDE}: write `from {value.__module__} import {name}` inside the function"
        else:
            hint = f"{_INSIDE}: define it inside the function, or pass it as a parameter"
        path = func.__code__.co_filename
        raise UsageError(
            f"'{func.__name__}' uses '{name}' of its module", where=f"{path}:{line}" if line else where, hint=hint
        )


def _global_names(code: CodeType) -> Iterator[tuple[int | None, str]]:
    """Names that the code, or a function or class inside it, looks up outside of itself, with their lines."""
    steps = list(dis.get_instructions(code))
    own = {step.argval for step in steps if step.opname == "STORE_NAME"}
    line: int | None = None
    for step in steps:
        line = _line(step, line)
        name = str(step.argval)
        in_class = step.opname in _CLASS_OPS and name not in own and not name.startswith("__")
        if step.opname in _GLOBAL_OPS or in_class:
            yield line, name
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)


def _line(step: dis.Instruction, before: int | None) -> int | None:
    positions = getattr(step, "positions", None)  # Python 3.11 and later; before that only a line's first step knows
    if positions is not None and positions.lineno is not None:
        return int(positions.lineno)
    starts = step.starts_line
    return int(starts) if isinstance(starts, int) and not isinstance(starts, bool) else before


def _check_defaults(tree: ast.FunctionDef, where: str) -> None:
    for default in (*tree.args.defaults, *tree.args.kw_defaults):
        if default is None:
            continue
        try:
            ast.literal_eval(default)
        except ValueError:
            raise UsageError(
                f"a default of '{tree.name}' is `{ast.unparse(default)}`, which is not written out",
                where=where,
                hint="a default is a number, text, True, False, None, or a list or dict of these",
            ) from None


def _check_imports(func: FunctionType, tree: ast.FunctionDef) -> None:
    path = Path(func.__code__.co_filename)
    folder = folder_of(func.__module__)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        near: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.level:
            near = ["." * node.level + (node.module or "")]
        elif folder is not None:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
            near = [name for name in names if files_of(name, folder)]
        if near:
            raise UsageError(
                f"'{tree.name}' imports '{near[0]}', which lies beside it",
                where=f"{path}:{func.__code__.co_firstlineno + node.lineno - 1}",
                hint=f"{_INSIDE}: put the code inside the function, or call it by `python: module:function`",
            )
