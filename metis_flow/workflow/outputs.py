"""What ``output`` says: JSON Schema from short field types, and where a script's result is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from metis_flow.errors import did_you_mean

TYPES = ("string", "number", "integer", "boolean", "object", "array", "null", "any")
SCHEMA_WORDS = frozenset(
    {
        "type",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "allOf",
        "not",
        "if",
        "then",
        "else",
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
        "items",
        "prefixItems",
        "contains",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "title",
        "description",
        "default",
        "examples",
        "$ref",
        "$defs",
        "$schema",
        "$id",
        "$comment",
        "$anchor",
        "deprecated",
        "readOnly",
        "writeOnly",
        "contentEncoding",
        "contentMediaType",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedProperties",
        "unevaluatedItems",
        "minContains",
        "maxContains",
    }
)
OutputSource = Literal["result", "stdout", "json", "text", "path", "files"]


@dataclass(frozen=True)
class OutputSpec:
    """What comes out of a step.

    Attributes:
        source: where it is read: the verb's own ``result``, the script's ``stdout``, or a file as ``json``, ``text``,
            ``path`` (a file reference) or ``files`` (a list of them).
        file: the file or glob, for those sources that need one; ``stdout`` for JSON on standard output.
        schema: JSON Schema of the value, where one was asked for.
    """

    source: OutputSource
    file: str | None = None
    schema: dict[str, Any] | None = None


class OutputMistake(ValueError):
    """A mistake under ``output``.

    Args:
        summary: what is wrong.
        place: the keys from ``output`` down to it.
        hint: what to do.
    """

    def __init__(self, summary: str, place: tuple[str | int, ...] = (), hint: str | None = None) -> None:
        super().__init__(summary)
        self.summary, self.place, self.hint = summary, place, hint


def is_whole_schema(data: Any) -> bool:
    """Whether ``output`` is ``{schema: …}``, a whole schema or the file of one, and not a field called schema."""
    if not isinstance(data, dict) or set(data) != {"schema"}:
        return False
    return not isinstance(data["schema"], list) and data["schema"] not in TYPES


def fields_schema(data: Any) -> dict[str, Any]:
    """JSON Schema of a map of fields.

    Raises:
        OutputMistake: a field's type cannot be read.

    >>> fields_schema({"name": "string", "note?": "string"})["required"]
    ['name']
    """
    if not isinstance(data, dict) or not data:
        raise OutputMistake("'output' should be a map of fields", hint="for instance 'output: {answer: string}'")
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, spec in data.items():
        field = name[:-1] if name.endswith("?") else name
        if not field or field in properties:
            raise OutputMistake(f"the field '{field}' is named twice" if field else "a field has no name", (name,))
        properties[field] = _field(spec, (name,))
        if field == name:
            required.append(field)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _field(spec: Any, place: tuple[str | int, ...]) -> dict[str, Any]:
    if isinstance(spec, str):
        if spec not in TYPES:
            hint = did_you_mean(spec, TYPES)
            raise OutputMistake(f"there is no type '{spec}'", place, hint)
        return {} if spec == "any" else {"type": spec}
    if isinstance(spec, list):
        if len(spec) != 1:
            raise OutputMistake("a list type holds one type", place, "for instance '[string]'")
        return {"type": "array", "items": _field(spec[0], (*place, 0))}
    if isinstance(spec, dict):
        for word in spec:
            if word not in SCHEMA_WORDS:
                nested = "for nested fields write '{type: object, properties: {…}}'"
                raise OutputMistake(
                    f"'{word}' is no word of JSON Schema", (*place, word), did_you_mean(word, SCHEMA_WORDS) or nested
                )
        return dict(spec)
    raise OutputMistake("a field is a type name, [type] or JSON Schema", place)


def script_output(data: Any) -> OutputSpec:
    """The output of a ``run`` step, its schema left out.

    Raises:
        OutputMistake: it is none of the forms.
    """
    forms = ("json", "text", "path", "files")
    if not isinstance(data, dict):
        raise OutputMistake(
            "'output' of a run step is an object",
            hint="one of {json: FILE}, {json: stdout}, {text: FILE}, {path: FILE}, {files: GLOB}",
        )
    chosen = [form for form in forms if form in data]
    unknown = [word for word in data if word not in (*forms, "schema")]
    if unknown:
        raise OutputMistake(
            f"unknown key '{unknown[0]}' in 'output'", (unknown[0],), did_you_mean(unknown[0], (*forms, "schema"))
        )
    if len(chosen) != 1:
        raise OutputMistake("'output' of a run step takes one of json, text, path, files")
    if "schema" in data and chosen[0] in ("path", "files"):
        raise OutputMistake("'schema' is for json and text", ("schema",))
    form = chosen[0]
    name = data[form]
    if not isinstance(name, str) or "${{" in name:
        raise OutputMistake(f"'{form}' takes the name of a file, without expressions", (form,))
    if not is_inside(name):
        raise OutputMistake(f"'{name}' leaves the step's folder", (form,), "use a relative path without '..'")
    return OutputSpec(form, name)  # type: ignore[arg-type]  # one of the forms


def is_inside(name: str) -> bool:
    """Whether a relative path stays inside the folder it is relative to."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\x00" not in name and path.parts != ()
