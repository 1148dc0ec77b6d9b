"""Parameters: from the command line, a file, a program or the default, to values of their type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import ParameterError
from metis_flow.workflow.models import Param
from metis_flow.workflow.params import bind, parse_assignment, read_params
from metis_flow.workflow.values import PathParam


def bound(spec: dict[str, Any], value: Any) -> Any:
    return bind({"p": Param.model_validate(spec)}, {"p": value}, Path("/flow"), cwd=Path("/here"))["p"]


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("string", "5", "5"),
        ("string", "", ""),
        ("string", "${{ x }}", "${{ x }}"),
        ("number", "0.2", 0.2),
        ("number", "1e-5", 1e-5),
        ("number", " 3 ", 3.0),
        ("number", 3, 3.0),
        ("integer", "1_000", 1000),
        ("integer", "-3", -3),
        ("integer", 3, 3),
        ("boolean", "true", True),
        ("boolean", "False", False),
        ("boolean", True, True),
        ("path", "a/b.csv", PathParam("/here/a/b.csv")),
        ("path", "/a/b.csv", PathParam("/a/b.csv")),
        ("path", "../a", PathParam("/here/../a")),
        ("path", Path("a"), PathParam("/here/a")),
        ("path", "~no-such-user/x", PathParam("/here/~no-such-user/x")),
        ("array", '[1, "a"]', [1, "a"]),
        ("array", [1], [1]),
        ("object", '{"a": {"b": null}}', {"a": {"b": None}}),
    ],
)
def test_value(kind: str, given: Any, value: Any) -> None:
    found = bound({"type": kind}, given)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("spec", "given", "expected"),
    [
        ({"type": "number"}, "warm", "'p' should be a number, not 'warm'"),
        ({"type": "number"}, "", "'p' should be a number, not nothing"),
        ({"type": "number"}, "true", "'p' should be a number, not true"),
        ({"type": "number"}, "1e999", "1e999 is too large for a number"),
        ({"type": "number"}, ".nan", ".nan is not a number that a workflow can hold"),
        ({"type": "number"}, float("nan"), "'p' holds a number that is not finite"),
        ({"type": "number"}, 10**400, "'p' is too large for a number"),
        ({"type": "integer"}, "1.5", "'p' should be a whole number, not 1.5"),
        ({"type": "integer"}, "1.0", "'p' should be a whole number, not 1.0"),
        ({"type": "integer"}, True, "'p' should be a whole number, not true"),
        ({"type": "integer"}, "010", "'p' should be a whole number, not '010'"),
        ({"type": "boolean"}, "yes", "'p' should be true or false, not 'yes'"),
        ({"type": "boolean"}, 1, "'p' should be true or false, not 1"),
        ({"type": "string"}, 5, "'p' should be a text, not 5"),
        ({"type": "string"}, None, "'p' should be a text, not nothing"),
        ({"type": "path"}, 5, "'p' should be a path, not 5"),
        ({"type": "array"}, "{}", "'p' should be a list, not {}"),
        ({"type": "array"}, "[1", "a list is given as JSON, not '[1'"),
        ({"type": "array"}, "[" * 100_000, "a list is given as JSON, not '" + "[" * 56 + "…"),
        ({"type": "array"}, "[[NaN]]", "'p' holds a number that is not finite"),
        ({"type": "object"}, "[]", "'p' should be an object, not []"),
        ({"type": "object"}, '{"a": [1e999]}', "'p' holds a number that is not finite"),
        ({"type": "number", "minimum": 0}, "-0.1", "'p' is -0.1, and should be at least 0"),
        ({"type": "number", "maximum": 2.5}, "2.6", "'p' is 2.6, and should be at most 2.5"),
        ({"type": "integer", "maximum": 3_000_000}, "3000001", "'p' is 3000001, and should be at most 3000000"),
        ({"type": "string", "enum": ["a", "b"]}, "c", "'p' cannot be 'c' [one of: 'a', 'b']"),
        ({"type": "integer", "enum": [1, 2]}, "3", "'p' cannot be 3 [one of: 1, 2]"),
        ({"type": "boolean", "enum": [True]}, "false", "'p' cannot be false [one of: true]"),
    ],
)
def test_refused(spec: dict[str, Any], given: Any, expected: str) -> None:
    with pytest.raises(ParameterError) as caught:
        bound(spec, given)
    error = caught.value
    assert error.summary + (f" [{error.hint}]" if error.hint else "") == expected
    assert error.where == "params.p"


def test_bounds_are_inclusive_and_enum_goes_by_value() -> None:
    assert bound({"type": "number", "minimum": 0, "maximum": 2}, "2") == 2
    assert bound({"type": "number", "enum": [1, 2]}, "1.0") == 1.0
    assert bound({"type": "path", "enum": ["a", "b"]}, "a") == "/here/a"


def test_defaults() -> None:
    specs = {
        "path": Param.model_validate({"type": "path", "default": "data/x.csv"}),
        "number": Param.model_validate({"type": "number", "default": 1}),
        "none": Param.model_validate({"type": "integer", "default": None}),
        "text": Param.model_validate({"type": "string", "default": "7"}),
    }
    values = bind(specs, {}, Path("/flow"), cwd=Path("/here"))
    assert values == {"path": "/flow/data/x.csv", "number": 1.0, "none": None, "text": "7"}
    assert (type(values["path"]), type(values["number"])) == (PathParam, float)


def test_unknown_and_missing() -> None:
    specs = {"temperature": Param.model_validate({"type": "number"})}
    for given, summary, hint in (
        ({"tempature": 1}, "the workflow has no parameter 'tempature'", "did you mean 'temperature'?"),
        ({}, "the parameter 'temperature' (number) has no value", "give it: -p temperature=…"),
    ):
        with pytest.raises(ParameterError) as caught:
            bind(specs, given, Path())
        assert (caught.value.summary, caught.value.hint) == (summary, hint)
    with pytest.raises(ParameterError) as caught:
        bind({}, {"x": 1}, Path())
    assert caught.value.hint == "this workflow has no parameters"
    many = {f"p{n}": specs["temperature"] for n in range(20)}
    with pytest.raises(ParameterError) as caught:
        bind(many, {"zzz": 1}, Path())
    assert caught.value.hint is None


def test_assignments() -> None:
    assert parse_assignment("a=b=c") == ("a", "b=c")
    assert parse_assignment(" a = b") == ("a", " b")
    assert parse_assignment("a=") == ("a", "")
    for text in ("a", "=b", " =b", ""):
        with pytest.raises(ParameterError) as caught:
            parse_assignment(text)
        assert caught.value.summary == f"'{text}' is not NAME=VALUE"


def test_parameter_files(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("a: 1_000\nb: [1e-5, 010]\n", encoding="utf-8")
    assert read_params(path) == {"a": 1000, "b": [1e-5, "010"]}
    path.write_text(json.dumps({"a": None}), encoding="utf-8")
    assert read_params(path) == {"a": None}
    for text, place, summary in (
        ("- a", "", "a parameter file holds 'name: value' lines"),
        ("a: 1\na: 2", ":2:1", "the key 'a' is written twice"),
        ("a: [", ":1:5", "this is not YAML: did not find expected node content"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ParameterError) as caught:
            read_params(path)
        assert (caught.value.where, caught.value.summary) == (f"{path}{place}", summary)
    with pytest.raises(ParameterError, match="there is no such file"):
        read_params(tmp_path / "no.yaml")


def test_a_path_from_the_user_is_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bind({"p": Param(type="path")}, {"p": "x"}, Path("/flow")) == {"p": str(tmp_path / "x")}
