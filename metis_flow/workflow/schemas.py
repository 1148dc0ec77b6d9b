"""Reads ``output``: where a result comes from, and the JSON Schema that it must fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metis_flow.errors import did_you_mean
from metis_flow.workflow import outputs
from metis_flow.workflow.compiler import Compiler
from metis_flow.workflow.expressions import has_expression
from metis_flow.workflow.outputs import OutputMistake, OutputSpec
from metis_flow.workflow.source import Location


def read_output(compiler: Compiler, raw: Any, verb: str | None, place: Location, folder: Path) -> OutputSpec:
    """What ``output`` of a step says; mistakes are noted with the compiler.

    Args:
        place: where it stands in the file.
        folder: the workflow's folder.
    """
    if raw is None:
        return OutputSpec("stdout" if verb == "run" else "result")
    if verb is None:
        return OutputSpec("result")
    try:
        if verb == "run":
            spec = outputs.script_output(raw)
            return OutputSpec(spec.source, spec.file, _schema(compiler, raw.get("schema"), (*place, "schema"), folder))
        if outputs.is_whole_schema(raw):
            return OutputSpec("result", schema=_schema(compiler, raw["schema"], (*place, "schema"), folder))
        schema = outputs.fields_schema(raw)
    except OutputMistake as mistake:
        for found in [mistake, *_in_each_field(raw, verb)]:
            compiler.problem(found.summary, (*place, *found.place), hint=found.hint)
        return OutputSpec("result")
    if any(isinstance(spec, dict | list) for spec in raw.values()):
        _check_schema(compiler, schema, place, fields=True)
    return OutputSpec("result", schema=schema)


def _in_each_field(raw: Any, verb: str) -> Iterator[OutputMistake]:
    """The mistakes of a map of fields, whichever was found first."""
    for name, spec in raw.items() if isinstance(raw, dict) and verb != "run" else ():
        try:
            outputs.fields_schema({name: spec})
        except OutputMistake as mistake:
            yield mistake


def _schema(compiler: Compiler, raw: Any, place: Location, folder: Path) -> dict[str, Any] | None:
    """A whole schema, or that of a JSON file."""
    if raw is None:
        return None
    data = raw
    if isinstance(raw, str):
        text = compiler.file_text(raw, place, folder)
        if text is None:
            return None
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            compiler.problem(f"the schema in '{raw}' is not JSON: {error}", place)
            return None
    if not isinstance(data, dict):
        compiler.problem("'schema' is JSON Schema or the name of its file", place)
        return None
    _check_schema(compiler, data, place)
    return data


def _check_schema(compiler: Compiler, schema: dict[str, Any], place: Location, *, fields: bool = False) -> None:
    """Note what is wrong with a schema; ``fields`` says that the file writes its fields in the short form."""
    import jsonschema  # only files that write JSON Schema pay for it

    def spot(path: tuple[str | int, ...]) -> Location:
        if not fields or len(path) < 2:
            return place + path
        name = f"{path[1]}?" if (*place, f"{path[1]}?") in compiler.document.values else path[1]
        return (*place, name, *(0 if part == "items" else part for part in path[2:]))

    dialect = jsonschema.Draft202012Validator
    meta = dialect(dialect.META_SCHEMA, format_checker=dialect.FORMAT_CHECKER)
    try:
        errors = list(meta.iter_errors(schema))
        texts = list(_texts(schema, ()))
    except RecursionError:
        compiler.problem("the schema is nested too deep", place)
        return
    for error in errors:
        where, value = tuple(error.absolute_path), error.instance
        if where[-1:] == ("type",) and isinstance(value, str):
            compiler.problem(f"there is no type '{value}'", spot(where), hint=did_you_mean(value, outputs.TYPES))
        else:
            compiler.problem(f"this is not JSON Schema: {error.message[:200]}", spot(where))
    for path, value in texts:
        if path[-1:] == ("$ref",) and not _resolves(schema, value):
            hint = "a reference begins with '#' and leads to a part of the same schema"
            compiler.problem(f"the reference '{value}' leads nowhere", spot(path), hint=hint)
        elif has_expression(value):
            compiler.problem("a schema holds no expressions", spot(path), hint="check the value with 'check'")


def _texts(data: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(data, str):
        yield path, data
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, part in parts:
        yield from _texts(part, (*path, name))


def _resolves(schema: Any, reference: str) -> bool:
    """Whether a reference stays inside the schema: nothing is ever fetched. Anchors are taken on trust."""
    if not reference.startswith("#/"):
        return reference.startswith("#")
    at = schema
    for part in reference[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        at = at.get(name) if isinstance(at, dict) else None
    return isinstance(at, dict | bool)
