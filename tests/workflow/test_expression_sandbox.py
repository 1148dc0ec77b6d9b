"""The sandbox: no way out, no way to change a value, and no mistake of a few characters that takes all memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import ExpressionFailed
from metis_flow.workflow import sandbox
from metis_flow.workflow.expressions import ExpressionError, compile_text
from metis_flow.workflow.values import FileRef


def scope() -> dict[str, Any]:
    return {
        "text": "abc",
        "list": [1, 2],
        "row": {"a": 1, "__class__": "a column"},
        "file": FileRef("/x/y", "ab", 1),
        "function": lambda: True,
    }


def outcome(text: str, *, blocks: bool = False) -> Any:
    try:
        return compile_text(text, "w", blocks=blocks).evaluate(scope())
    except (ExpressionError, ExpressionFailed) as error:
        return f"! {error.summary}"


@pytest.mark.parametrize(
    "text",
    [
        "${{ text.__class__ }}",
        "${{ text['__class__'] }}",
        "${{ text|attr('__class__') }}",
        "${{ text.__class__.__mro__[1].__subclasses__() }}",
        "${{ [text]|map(attribute='__class__')|list }}",
        "${{ [text]|map('attr', '__class__')|list }}",
        "${{ [text]|groupby('__class__') }}",
        "${{ [text, text]|sort(attribute='__class__') }}",
        "${{ [text]|selectattr('__class__')|list }}",
        "${{ [text]|join(attribute='__class__') }}",
        "${{ '{0.__class__}'.format(text) }}",
        "${{ '{x.__class__}'.format_map({'x': text}) }}",
        "${{ '%s'|format(text.__init__) }}",
        "${{ fence(text).__class__ }}",
        "${{ function.__globals__ }}",
        "${{ function.__code__ }}",
        "${{ function|attr('__globals__') }}",
        "${{ file.__dict__ }}",
        "${{ file.__init__.__globals__ }}",
        "${{ file.as_dict.__func__ }}",
        "${{ range(3).__reduce__() }}",
        "${{ (list|map('abs')).gi_frame }}",
        "${{ text.mro() }}",
        "${{ self }}",
        "${{ self._TemplateReference__context }}",
    ],
)
def test_no_way_out(text: str) -> None:
    found = outcome(text)
    assert isinstance(found, str)
    assert found.startswith(
        ("! not allowed in an expression: ", "! the name 'self' is not known here", "! a text has no 'mro'")
    )


@pytest.mark.parametrize(
    "name",
    [
        "cycler",
        "dict",
        "joiner",
        "lipsum",
        "namespace",
        "open",
        "print",
        "__import__",
        "eval",
        "os",
        "request",
        "config",
        "context",
        "environment",
        "caller",
        "varargs",
    ],
)
def test_no_other_names(name: str) -> None:
    assert outcome(f"${{{{ {name} }}}}") == f"! the name '{name}' is not known here"


@pytest.mark.parametrize(
    "text",
    [
        "${{ list.append(3) }}",
        "${{ list.pop() }}",
        "${{ list.sort() }}",
        "${{ list.clear() }}",
        "${{ row.update({'a': 2}) }}",
        "${{ row.pop('a') }}",
        "${{ row|attr('clear') }}",
    ],
)
def test_values_cannot_be_changed(text: str) -> None:
    values = scope()
    with pytest.raises(ExpressionFailed):
        compile_text(text, "w").evaluate(values)
    assert (values["list"], values["row"]) == (scope()["list"], scope()["row"])


def test_what_is_refused_is_named() -> None:
    expected = "! not allowed in an expression: access to attribute '__class__' of 'str' object is unsafe."
    assert outcome("${{ text.__class__ }}") == expected


def test_a_column_may_have_any_name() -> None:
    assert outcome("${{ row.__class__ }}") == "a column"


def test_no_setting_of_attributes() -> None:
    assert outcome("${% set file.path = 'x' %}${{ file.path }}", blocks=True).startswith("!")
    assert outcome("${% set row.a = 2 %}${{ row.a }}", blocks=True).startswith("!")


def test_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("secret")
    for text in (f"${{% include '{tmp_path}/x' %}}", f"${{% import '{tmp_path}/x' as x %}}${{{{ x }}}}"):
        assert outcome(text, blocks=True) == "! a template cannot include another file"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${{ '<a & b>'|tojson }}", '"<a & b>"'),
        ("${{ (row|tojson) ~ '<' }}", '{"a": 1, "__class__": "a column"}<'),
        ("${{ '<'|escape ~ '<' }}", "&lt;<"),
        ("${{ '<'|safe ~ '<' }}", "<<"),
        ("${{ ('<'|safe) + '<' }}", "<<"),
        ("${{ ['<'|forceescape, '<']|join }}", "&lt;<"),
    ],
)
def test_nothing_is_escaped_unasked(text: str, expected: str) -> None:
    found = outcome(text)
    assert (type(found), found) == (str, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${{ 'a' * 10**10 }}", "! the result of '*' is too large"),
        ("${{ 10**10 * 'a' }}", "! the result of '*' is too large"),
        ("${{ [0] * 10**10 }}", "! the result of '*' is too large"),
        ("${{ 10**(10**10) }}", "! the result of '**' is too large"),
        ("${{ range(10**12)|list }}", "! a list may have 1,000 items at most"),
        ("${{ zip(range(10**12), range(10**12)) }}", "! a list may have 1,000 items at most"),
        ("${{ range(10**12)|map('string') }}", "! a list may have 1,000 items at most"),
        ("${{ 2 * 3 ** 2 * [1, 2] }}", [1, 2] * 18),
        ("${{ 'ab' * 2 }}", "abab"),
        ("${{ 2 ** 0.5 * 2 ** 0.5 }}", 2.0000000000000004),
    ],
)
def test_bounds(monkeypatch: pytest.MonkeyPatch, text: str, expected: Any) -> None:
    monkeypatch.setattr(sandbox, "MAX_ITEMS", 1_000)
    assert outcome(text) == expected


@pytest.mark.parametrize(
    "text", ["${{ 'x'|center(200000000) }}", "a ${{ 'x'|center(200000000) }}", "${{ 'x' * 200000000 }}"]
)
def test_nothing_is_evaluated_while_a_file_is_read(text: str) -> None:
    tracemalloc.start()
    try:
        compile_text(text, "w")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
