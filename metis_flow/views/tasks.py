"""Tasks of the library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from metis_flow.tasks.registry import TaskInfo
from metis_flow.views.safe_text import one_line, safe
from metis_flow.views.tables import Column, print_table
from metis_flow.views.values import short


def task_as_json(task: TaskInfo) -> dict[str, Any]:
    """The form in ``tasks --json``."""
    names = ("name", "version", "source_hash", "doc", "parameters", "returns", "where")
    return {name: getattr(task, name) for name in names}


def print_tasks(tasks: Sequence[TaskInfo], out: TextIO) -> None:
    """A row for each task."""
    rows = [(task.name, ", ".join(_names(task)), task.doc.partition("\n")[0]) for task in tasks]
    print_table((Column("task"), Column("with"), Column("what it does", gives_way=True)), rows, out)


def print_task(task: TaskInfo, out: TextIO) -> None:
    """Everything about one task."""
    out.write(f"{one_line(task.name)}, version {one_line(task.version)}\n\n{safe(task.doc)}\n")
    parameters = task.parameters.get("properties", {})
    if parameters:
        out.write("\nwith:\n")
        needed = task.parameters.get("required", [])
        out.writelines(f"  {line}\n" for name in parameters for line in _parameter(name, parameters[name], needed))
    if task.returns:
        out.write(f"\nreturns: {short(task.returns)}\n")
    out.write(f"\nsource:  {one_line(task.where)}\nsha256:  {task.source_hash}\n")


def _names(task: TaskInfo) -> Iterator[str]:
    required = task.parameters.get("required", [])
    for name in task.parameters.get("properties", {}):
        yield name if name in required else f"{name}?"


def _parameter(name: str, schema: Mapping[str, Any], required: Sequence[str]) -> Iterator[str]:
    rest = {word: value for word, value in schema.items() if word != "default"}
    default = f", default {short(schema['default'])}" if "default" in schema else ""
    yield f"{one_line(name)}{'' if name in required else '?'}: {short(rest)}{default}"
