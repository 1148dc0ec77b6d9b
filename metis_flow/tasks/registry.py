"""The task library's register: ``@task``, and finding tasks by name."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import metis_flow.tasks.library as library
from metis_flow.errors import UsageError, did_you_mean
from metis_flow.tasks.beside import folder_of
from metis_flow.tasks.check import check_self_contained, place_of, task_source
from metis_flow.tasks.definition import P, R, Task
from metis_flow.tasks.docstrings import read_docstring
from metis_flow.tasks.load import load_module
from metis_flow.tasks.parameters import asks, describe_parameters, gives_rows
from metis_flow.tasks.sources import installed_file, modules_beside, parse

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "metis_flow.tasks"

_tasks: dict[str, Task[..., Any]] = {}
_lock = threading.RLock()


@overload
def task(name: Callable[P, R]) -> Task[P, R]: ...
@overload
def task(name: str | None = None, version: str = "1") -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(name: Any = None, version: str = "1") -> Any:
    """Registers a function as a task, under its own name or another. Called, the task does what the function does.

    The function must be self-contained: it imports what it needs in its body and uses nothing of its module, so that
    its source alone can be sent to any machine. Its identity is the hash of that source.

    Annotations become JSON Schemas, and what the docstring says under ``Args:``, ``Returns:``, ``Raises:`` and
    ``Example:`` is shown by ``metis-flow tasks show``.

    Args:
        name: the task's name; without it the function's.
        version: a word for people.

    Raises:
        UsageError: the function is not self-contained, or another task has the name.

    >>> @task
    ... def double(number: float) -> float:
    ...     return 2 * number
    """
    if callable(name):
        return task()(name)

    def register(func: Callable[P, R]) -> Task[P, R]:
        made = _describe(func, name, version)
        if folder_of(func.__module__) is None:  # those beside a workflow belong to that workflow alone
            with _lock:
                _refuse_second(_tasks.get(made.name), made)
                _tasks[made.name] = made
        return made

    return register


def find_task(name: str, folder: Path | None = None) -> Task[..., Any]:
    """The task of this name: of the library, of an installed package's entry point, or beside the workflow.

    Args:
        name: as in ``uses``.
        folder: the workflow's folder. Of the modules in it, only one that defines ``@task`` of this name is imported.

    Raises:
        UsageError: there is none (with "did you mean"), or there are two.
    """
    near = _named_beside(folder) if folder is not None else {}
    found = _registered(name)
    for module in near.get(name, ()):
        assert folder is not None
        made = _task_in(module, name, folder)
        _refuse_second(found, made)
        found = made
    if found is None:
        raise UsageError(f"there is no task '{name}'", hint=did_you_mean(name, [*all_tasks(), *near]))
    return found


def all_tasks(folder: Path | None = None) -> dict[str, Task[..., Any]]:
    """All tasks by name, sorted: the library's, those of entry points, and those beside the workflow.

    Raises:
        UsageError: an entry point or a module with tasks cannot be imported, or two tasks share a name.
    """
    _load_library()
    _load_entry_points()
    found = dict(_tasks)
    if folder is not None:
        for name in _named_beside(folder):
            found[name] = find_task(name, folder)
    return dict(sorted(found.items()))


def _describe(func: Callable[P, R], name: str | None, version: str) -> Task[P, R]:
    source = task_source(func)
    check_self_contained(func, source)
    where = place_of(func)
    doc = inspect.getdoc(func) or ""
    parameters, returns = describe_parameters(func, where)
    for argument, text in read_docstring(doc).arguments.items():
        if argument in parameters["properties"]:
            parameters["properties"][argument]["description"] = text
    identity = hashlib.sha256(source.encode())
    for path in _leant_on(source):
        identity.update(path.read_bytes())
    return Task(
        name or func.__name__,
        version,
        func,
        identity.hexdigest(),
        doc,
        parameters,
        returns,
        where,
        asks=asks(func, where),
        gives_rows=gives_rows(func, where),
    )


def _leant_on(source: str) -> Iterator[Path]:
    """The files of metis-flow's own modules that the function imports: they come with it everywhere, and change."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("metis_flow."):
            path = installed_file(str(node.module))
            if path is not None:
                yield path


def _refuse_second(old: Task[..., Any] | None, new: Task[..., Any]) -> None:
    if old is None or (old.where.rpartition(":")[0], old.func.__qualname__) == (
        new.where.rpartition(":")[0],
        new.func.__qualname__,
    ):
        return  # the same function, imported again or edited
    raise UsageError(
        f"there are two tasks named '{new.name}': here and at {old.where}",
        where=new.where,
        hint="give one of them another name: @task(name=...)",
    )


def _registered(name: str) -> Task[..., Any] | None:
    if name in library.HOMES:
        _load_library(library.HOMES[name])
    if name not in _tasks:
        _load_entry_points(name)
    if name not in _tasks:  # an entry point may also be a module with several tasks
        _load_entry_points()
    return _tasks.get(name)


def _load_library(*modules: str) -> None:
    """Load these modules of the library, or all of them."""
    for module in modules or sorted(set(library.HOMES.values())):
        importlib.import_module(f"{library.__name__}.{module}")


def _load_entry_points(name: str | None = None) -> None:
    from importlib.metadata import entry_points  # slow to import, and seldom needed

    for point in entry_points(group=ENTRY_POINTS):
        if name is None or point.name == name:
            _load_entry_point(point)


def _load_entry_point(point: EntryPoint) -> None:
    try:
        point.load()
    except UsageError:
        raise
    except Exception as problem:
        raise UsageError(
            f"the tasks of an installed package cannot be imported: {type(problem).__name__}: {problem}",
            where=f"entry point {point.name} = {point.value}",
            hint="update or uninstall the package",
        ) from problem


def _named_beside(folder: Path) -> dict[str, list[str]]:
    """Names of the tasks that modules in the folder define, with the modules; read, not imported."""
    found: dict[str, list[str]] = {}
    for module in modules_beside(folder):
        path = folder / f"{module}.py"
        content = path.read_bytes() if path.is_file() else b""
        if b"metis_flow" in content and b"task" in content:
            for node in parse(path, content).body:
                name = _task_name(node)
                if name is not None:
                    found.setdefault(name, []).append(module)
    return found


def _task_name(node: ast.stmt) -> str | None:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)) != "task":
            continue
        given = []
        if isinstance(decorator, ast.Call):
            given = decorator.args[:1] + [word.value for word in decorator.keywords if word.arg == "name"]
        return next((str(value.value) for value in given if isinstance(value, ast.Constant) and value.value), node.name)
    return None


def _task_in(module: str, name: str, folder: Path) -> Task[..., Any]:
    loaded = load_module(module, folder)
    for value in vars(loaded).values():
        if isinstance(value, Task) and value.name == name:
            return value
    raise UsageError(
        f"the task '{name}' is lost under another decorator",
        where=getattr(loaded, "__file__", None),
        hint="write @task above all others",
    )
