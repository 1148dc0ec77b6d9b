"""From ``module:function`` in a workflow to the function itself."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from metis_flow.errors import UsageError, did_you_mean
from metis_flow.tasks.beside import import_beside, import_installed
from metis_flow.tasks.sources import closure, files_of, installed_file, module_not_found, split_target, syntax_error


def load_function(target: str, folder: Path) -> Callable[..., Any]:
    """The function that ``module:function`` names: beside the workflow first, else installed.

    An edited file beside the workflow is noticed by its content at the next call, also where it is a helper that the
    module imports. Safe to call from several threads.

    Args:
        target: ``module:function``; the module may be dotted.
        folder: the workflow's folder.

    Raises:
        UsageError: there is no such module or function, or the module raised while it was imported (with the line).
    """
    name, function = split_target(target)
    module = load_module(name, folder)
    found = getattr(module, function, None)
    if found is None:
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        problem = f"there is no function '{function}' in module '{name}'"
        hint = did_you_mean(function, known)
    elif inspect.iscoroutinefunction(found):
        problem, hint = f"'{target}' is an async function", "write a plain function; it may call asyncio.run itself"
    elif not callable(found):
        problem, hint = f"'{target}' is {_shown(found)}, not a function", None
    else:
        return found  # type: ignore[no-any-return]  # callable() says no more than that
    raise UsageError(problem, where=getattr(module, "__file__", None), hint=hint)


def load_module(name: str, folder: Path) -> ModuleType:
    """The module beside the workflow, else the installed one.

    Raises:
        UsageError: there is none, or it raised while it was imported (with the line).
    """
    folder = folder.resolve()
    near = bool(files_of(name, folder))
    if not near and installed_file(name) is None:
        raise module_not_found(name, folder)
    try:
        return import_beside(name, folder) if near else import_installed(name)
    except UsageError:
        raise
    except (Exception, SystemExit) as problem:
        raise _import_failed(name, folder, problem) from problem


def _import_failed(name: str, folder: Path, problem: BaseException) -> UsageError:
    if isinstance(problem, SyntaxError) and problem.filename:
        return syntax_error(problem, Path(problem.filename))
    frames = [f for f in traceback.extract_tb(problem.__traceback__) if not _is_machinery(f.filename)]
    own = {str(path) for path in closure(name, folder)}
    inside = [frame for frame in frames if frame.filename in own] or frames
    hint = None
    if isinstance(problem, ModuleNotFoundError):
        hint = f"install '{problem.name}' where the step runs, or put {problem.name}.py beside the workflow"
    return UsageError(
        f"module '{name}' cannot be imported: {type(problem).__name__}: {problem}",
        where=f"{inside[-1].filename}:{inside[-1].lineno}" if inside else None,
        detail=inside[-1].line if inside else None,
        hint=hint,
    )


def _is_machinery(filename: str) -> bool:
    return filename.startswith("<frozen") or Path(filename).parent == Path(__file__).parent


def _shown(value: Any) -> str:
    kind = type(value).__name__
    return f"an {kind}" if kind[:1] in "aeio" else f"a {kind}"
