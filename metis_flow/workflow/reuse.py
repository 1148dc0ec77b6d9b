"""Reuse: steps from files that ``include`` names, and whole workflows that steps call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from metis_flow.errors import ParameterError, WorkflowError, WorkflowInvalid, did_you_mean
from metis_flow.workflow import params
from metis_flow.workflow.bodies import WorkflowCallDef
from metis_flow.workflow.compiler import Compiler
from metis_flow.workflow.definition import WorkflowDef
from metis_flow.workflow.expressions import has_expression
from metis_flow.workflow.mistakes import mistakes
from metis_flow.workflow.models import StepsFile
from metis_flow.workflow.source import MAX_NODES, Document, Location, parse_document

MAX_DEPTH = 8
"""Most workflows that call one another in a row."""


@dataclass
class Loading:
    """What is known while a workflow and those that it calls are loaded.

    Attributes:
        stack: the files that are being loaded, the first one first.
        done: those that are through; None where they hold mistakes, which have been reported.
    """

    stack: list[Path] = field(default_factory=list)
    done: dict[Path, WorkflowDef | None] = field(default_factory=dict)


def read_parts(compiler: Compiler, raw: Any, folder: Path) -> Iterator[Document]:
    """The files under ``include``, as far as they can be read; mistakes are noted with the compiler.

    Args:
        raw: a name or a list of names.
        folder: the workflow's folder.
    """
    names = raw if isinstance(raw, list) else [raw]
    seen: set[Path] = set()
    for index, name in enumerate(names):
        place: Location = ("include", index) if isinstance(raw, list) else ("include",)
        if not isinstance(name, str):
            continue
        if (folder / name).resolve() in seen:
            compiler.problem(f"'{name}' is included twice", place)
            continue
        text = compiler.file_text(name, place, folder)
        if text is None:
            continue
        seen.add((folder / name).resolve())
        part = _part(compiler, text, str(compiler.home / name))
        if part is not None:
            yield part


def _part(compiler: Compiler, text: str, shown: str) -> Document | None:
    try:
        document = parse_document(text, shown, max_nodes=MAX_NODES)
    except WorkflowError as error:
        compiler.problems.append(error)
        return None
    compiler.problems.extend(document.problems)
    if not isinstance(document.data, dict):
        compiler.problems.append(document.error("a file of steps holds 'steps:' and steps under it"))
        return None
    for name in document.data:
        if name != "steps":
            hint = "parameters, outputs and the like belong to the workflow itself"
            summary = f"a file of steps holds nothing but 'steps', and this has '{name}'"
            compiler.problems.append(document.error(summary, (name,), key=True, hint=hint))
    known = {name: value for name, value in document.data.items() if name == "steps"}
    try:
        StepsFile.model_validate(known)
    except ValidationError as error:
        compiler.problems.extend(mistakes(document, error))
    return document


def read_workflow_call(
    compiler: Compiler,
    raw: dict[str, Any],
    place: Location,
    names: frozenset[str],
    folder: Path,
    loading: Loading,
    load: Callable[[Path, Loading], WorkflowDef],
) -> WorkflowCallDef | None:
    """A step that calls another workflow; None where it cannot be made.

    Args:
        raw: the whole step.
        folder: the workflow's folder.
        load: loads the other workflow; its mistakes are raised as `WorkflowInvalid`.
    """
    target = raw["workflow"]
    spot = (*place, "workflow")
    if not isinstance(target, str):
        return None
    summary = "'workflow' takes the name of a file: what a model said never becomes the name of code"
    if compiler.refuse_expressions(target, spot, summary, "choose the step with 'if'"):
        return None
    given = raw["with"] if isinstance(raw.get("with"), dict) else {}
    arguments = compiler.tree(given, (*place, "with"), names)
    child = _child(compiler, target, spot, folder, loading, load)
    if child is None:
        return None
    _take_texts(compiler, target, child)
    _check_arguments(compiler, target, child, given, place, folder)
    return WorkflowCallDef(target, arguments, child, folder)


def _child(
    compiler: Compiler,
    target: str,
    place: Location,
    folder: Path,
    loading: Loading,
    load: Callable[[Path, Loading], WorkflowDef],
) -> WorkflowDef | None:
    text = compiler.file_text(target, place, folder)
    if text is None:
        return None
    path = (folder / target).resolve()
    if path in loading.done:
        return loading.done[path]
    if path in loading.stack:
        chain = [*loading.stack[loading.stack.index(path) :], path]
        drawn = " → ".join(file.name for file in chain)
        summary = f"the workflows call each other: {drawn}" if len(chain) > 2 else "the workflow calls itself"
        compiler.problem(summary, place, hint="to go round again, write 'until' and 'max_rounds' on the step")
        return None
    if len(loading.stack) >= MAX_DEPTH:
        compiler.problem(f"more than {MAX_DEPTH} workflows call one another in a row", place, hint="flatten them")
        return None
    try:
        loading.done[path] = load(compiler.home / target, loading)
    except WorkflowInvalid as error:
        loading.done[path] = None
        compiler.problems.extend(error.problems)
    return loading.done[path]


def _take_texts(compiler: Compiler, target: str, child: WorkflowDef) -> None:
    """What the other workflow was made of is recorded with this one, under paths relative to this one."""
    below = os.path.dirname(target)
    for name, text in child.included.items():
        compiler.included[os.path.normpath(os.path.join(below, name))] = text


def _check_arguments(
    compiler: Compiler, target: str, child: WorkflowDef, given: dict[str, Any], place: Location, folder: Path
) -> None:
    """Note what does not fit the parameters of the child, as far as it is known without a run."""
    for name, value in given.items():
        spot = (*place, "with", name)
        spec = child.params.get(name)
        if spec is None:
            hint = did_you_mean(name, child.params) if child.params else "it has no parameters"
            compiler.problem(f"the workflow '{target}' has no parameter '{name}'", spot, key=True, hint=hint)
        elif not _is_open(value) and not (value is None and "default" in spec.model_fields_set):
            try:
                params.convert(name, spec, value, folder, typed=True)
            except ParameterError as error:
                compiler.problem(error.summary, spot, hint=error.hint)
    for name, spec in child.params.items():
        if name not in given and "default" not in spec.model_fields_set:
            hint = f"add 'with: {{{name}: …}}'"
            compiler.problem(f"the workflow '{target}' needs the parameter '{name}'", (*place, "workflow"), hint=hint)


def _is_open(value: Any) -> bool:
    """Whether a value holds expressions, at any depth."""
    if isinstance(value, str):
        return has_expression(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_is_open, parts))
