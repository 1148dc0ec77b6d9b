"""Tasks of the library."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from metis_flow.tasks import Task
from metis_flow.views.safe_text import one_line, safe
from metis_flow.views.tables import Column, print_table
from metis_flow.views.values import short

WIDTH = 100


def task_as_json(task: Task[..., Any]) -> dict[str, Any]:
    """The form in ``tasks --json``."""
    names = ("name", "version", "source_hash", "doc", "parameters", "returns", "asks", "where")
    return {name: getattr(task, name) for name in names} | {"example": task.docstring.example}


def print_tasks(tasks: Sequence[Task[..., Any]], out: TextIO) -> None:
    """A row for each task."""
    rows = [(task.name, ", ".join(_names(task)), task.doc.partition("\n")[0]) for task in tasks]
    print_table((Column("task"), Column("with"), Column("what it does", gives_way=True)), rows, out)


def print_task(task: Task[..., Any], out: TextIO) -> None:
    """Everything about one task."""
    doc = task.docstring
    out.write(f"{one_line(task.name)}, version {one_line(task.version)}\n\n{safe(doc.text).rstrip()}\n")
    parameters = task.parameters.get("properties", {})
    if parameters:
        needed = task.parameters.get("required", [])
        _part("with", [line for name in parameters for line in _parameter(name, parameters[name], needed)], out)
    _part("returns", [*([short(task.returns)] if task.returns else []), *safe(doc.returns).splitlines()], out)
    _part("fails", safe(doc.raises).splitlines(), out)
    _part("example", safe(doc.example).splitlines(), out)
    out.write(f"\nmodel:   {'asked' if task.asks else 'not needed'}\n")
    out.write(f"source:  {one_line(task.where)}\nsha256:  {task.source_hash}\n")


def _part(title: str, lines: Sequence[str], out: TextIO) -> None:
    if lines:
        out.write(f"\n{title}:\n")
        out.writelines(f"  {line}".rstrip() + "\n" for line in lines)


def _names(task: Task[..., Any]) -> Iterator[str]:
    required = task.parameters.get("required", [])
    for name in task.parameters.get("properties", {}):
        yield name if name in required else f"{name}?"


def _parameter(name: str, schema: Mapping[str, Any], required: Sequence[str]) -> Iterator[str]:
    rest = {word: value for word, value in schema.items() if word not in ("default", "description")}
    default = f", default {short(schema['default'])}" if "default" in schema else ""
    yield f"{one_line(name)}{'' if name in required else '?'}: {short(rest)}{default}"
    if "description" in schema:
        yield from textwrap.wrap(
            one_line(schema["description"]), WIDTH, initial_indent="    ", subsequent_indent="    "
        )
