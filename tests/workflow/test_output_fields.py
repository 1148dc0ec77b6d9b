"""The short form of `output`: a map of fields, and the JSON Schema that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metis_flow.workflow.definition import WorkflowDef

Load = Callable[..., WorkflowDef]

STRING = {"type": "string"}

FIELDS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("{a: string}", {"a": STRING}, ["a"]),
    ("{a: string, b?: number}", {"a": STRING, "b": {"type": "number"}}, ["a"]),
    ("{a?: any}", {"a": {}}, []),
    (
        "{a: [string], b: [[integer]], c: [any]}",
        {
            "a": {"type": "array", "items": STRING},
            "b": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
            "c": {"type": "array", "items": {}},
        },
        ["a", "b", "c"],
    ),
    ("{a: [{enum: [x, y]}]}", {"a": {"type": "array", "items": {"enum": ["x", "y"]}}}, ["a"]),
    (
        "{a: {type: number, exclusiveMinimum: 0, maximum: 20}}",
        {"a": {"type": "number", "exclusiveMinimum": 0, "maximum": 20}},
        ["a"],
    ),
    ("{a: 'null', b: boolean}", {"a": {"type": "null"}, "b": {"type": "boolean"}}, ["a", "b"]),
    # fields whose names are words of the language or of JSON Schema
    ("{schema: string}", {"schema": STRING}, ["schema"]),
    ("{schema: [string]}", {"schema": {"type": "array", "items": STRING}}, ["schema"]),
    ("{schema?: object}", {"schema": {"type": "object"}}, []),
    ("{schema: {type: string}, other: string}", {"schema": STRING, "other": STRING}, ["schema", "other"]),
    (
        "{type: string, properties: [string], json: string}",
        {"type": STRING, "properties": {"type": "array", "items": STRING}, "json": STRING},
        ["type", "properties", "json"],
    ),
    ("{$ref: string, a b: string, 'é': string}", {"$ref": STRING, "a b": STRING, "é": STRING}, ["$ref", "a b", "é"]),
]


@pytest.mark.parametrize("verb", ["chat: x", "python: m:f", "uses: count"])
@pytest.mark.parametrize(("text", "properties", "required"), FIELDS)
def test_fields(load: Load, verb: str, text: str, properties: dict[str, Any], required: list[str]) -> None:
    output = load(f"{verb}\noutput: {text}", step=True).steps["s"].output
    assert (output.source, output.file) == ("result", None)
    assert output.schema == {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def test_a_whole_schema_is_taken_as_it_is(load: Load) -> None:
    schema = {"type": "array", "items": {"$ref": "#/$defs/row"}, "$defs": {"row": {"type": "object"}}}
    inline = "{schema: {type: array, items: {$ref: '#/$defs/row'}, $defs: {row: {type: object}}}}"
    assert load(f"chat: x\noutput: {inline}", step=True).steps["s"].output.schema == schema
    text = '{"type": "array", "items": {"$ref": "#/$defs/row"}, "$defs": {"row": {"type": "object"}}}'
    workflow = load("chat: x\noutput: {schema: s.json}", {"s.json": text}, step=True)
    assert workflow.steps["s"].output.schema == schema
    assert workflow.included == {"s.json": text}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[", "11:22 the schema in 's.json' is not JSON: Expecting value: line 1 column 2 (char 1)"),
        ("[]", "11:22 'schema' is JSON Schema or the name of its file"),
        ('{"type": "strng"}', "11:22 there is no type 'strng' [did you mean 'string'?]"),
    ],
)
def test_files_that_hold_no_schema(mistakes: Callable[..., list[str]], text: str, expected: str) -> None:
    assert mistakes("chat: x\noutput: {schema: s.json}", {"s.json": text}, step=True) == [expected]


def test_a_file_that_is_nested_too_deep(mistakes: Callable[..., list[str]]) -> None:
    for depth in (400, 100_000):
        text = '{"not": ' * depth + "{}" + "}" * depth
        (found,) = mistakes("chat: x\noutput: {schema: s.json}", {"s.json": text}, step=True)
        assert found.startswith(("11:22 the schema is nested too deep", "11:22 the schema in 's.json' is not JSON: "))
