"""The task library's register: ``@task``, and finding tasks by name."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from metis_flow.errors import UsageError, did_you_mean
from metis_flow.tasks.beside import folder_of
from metis_flow.tasks.check import check_self_contained, place_of, task_source
from metis_flow.tasks.load import load_module
from metis_flow.tasks.parameters import describe_parameters
from metis_flow.tasks.sources import modules_beside, parse

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "metis_flow.tasks"

_F = TypeVar("_F", bound=Callable[..., Any])
_MARK = "__metis_flow_task__"
_tasks: dict[str, TaskInfo] = {}
_lock = threading.RLock()


@dataclass(frozen=True)
class TaskInfo:
    """A registered task.

    Args:
        name: what a workflow calls it in ``uses``.
        version: its author's word for it; `source_hash` is what counts.
        func: the function itself; it is called with keyword arguments.
        source_hash: sha256 of the dedented source.
        doc: its docstring.
        parameters: JSON Schema of its keyword arguments, one object.
        returns: JSON Schema of its result; ``{}`` where it says nothing.
        where: ``file:line``.
    """

    name: str
    version: str
    func: Callable[..., Any]
    source_hash: str
    doc: str
    parameters: dict[str, Any]
    returns: dict[str, Any]
    where: str


@overload
def task(name: _F) -> _F: ...
@overload
def task(name: str | None = None, version: str = "1") -> Callable[[_F], _F]: ...
def task(name: Any = None, version: str = "1") -> Any:
    """Registers a function as a task, under its own name or another; the function itself stays as it is.

    The function must be self-contained: it imports what it needs in its body and uses nothing of its module, so that
    its source alone can be sent to any machine. Its identity is the hash of that source.

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

    def register(func: _F) -> _F:
        info = _describe(func, name or func.__name__, version)
        setattr(func, _MARK, info)
        if folder_of(func.__module__) is None:  # those beside a workflow belong to that workflow alone
            with _lock:
                _refuse_second(_tasks.get(info.name), info)
                _tasks[info.name] = info
        return func

    return register


def find_task(name: str, folder: Path | None = None) -> TaskInfo:
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
        info = _tasks_in(module, folder)[name]
        _refuse_second(found, info)
        found = info
    if found is None:
        raise UsageError(f"there is no task '{name}'", hint=did_you_mean(name, [*all_tasks(), *near]))
    return found


def all_tasks(folder: Path | None = None) -> dict[str, TaskInfo]:
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


def _describe(func: Callable[..., Any], name: str, version: str) -> TaskInfo:
    source = task_source(func)
    check_self_contained(func, source)
    where = place_of(func)
    parameters, returns = describe_parameters(func, where)
    identity = hashlib.sha256(source.encode()).hexdigest()
    return TaskInfo(name, version, func, identity, inspect.getdoc(func) or "", parameters, returns, where)


def _refuse_second(old: TaskInfo | None, new: TaskInfo) -> None:
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


def _registered(name: str) -> TaskInfo | None:
    _load_library()
    if name not in _tasks:
        _load_entry_points(name)
    if name not in _tasks:  # an entry point may also be a module with several tasks
        _load_entry_points()
    return _tasks.get(name)


def _load_library() -> None:
    importlib.import_module("metis_flow.tasks.library")


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


def _tasks_in(module: str, folder: Path) -> dict[str, TaskInfo]:
    marked = (getattr(value, _MARK, None) for value in vars(load_module(module, folder)).values())
    return {info.name: info for info in marked if isinstance(info, TaskInfo)}
