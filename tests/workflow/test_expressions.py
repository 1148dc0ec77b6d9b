"""Expressions: what a text means, what its value is, and what it refers to."""

from __future__ import annotations

from typing import Any

import pytest

from metis_flow.errors import ExpressionFailed
from metis_flow.workflow.expressions import (
    ExpressionError,
    StepRef,
    Template,
    compile_condition,
    compile_text,
    has_expression,
)
from metis_flow.workflow.values import FileRef, PathParam

ROW = {"values": [1, 2], "items": "i", "keys": None, "get": {"pop": 5}, "name": "Cu"}
SCOPE: dict[str, Any] = {
    "row": ROW,
    "n": 3,
    "x": 1.5,
    "yes": True,
    "none": None,
    "text": "${{ n }} {{ 7*7 }} ${% if %}",
    "list": ["a", 1, None, True, {"b": 2}],
    "file": FileRef("/run/steps/a/out.csv", "ab12", 7),
    "path": PathParam("/data/in.csv"),
    "result": {"of": "a name that the compiler uses itself"},
}


def value_of(text: str, *, blocks: bool = False) -> Any:
    return compile_text(text, "w.yaml:3:5", blocks=blocks).evaluate(SCOPE)


def why_not(text: str, *, blocks: bool = False) -> str:
    """Why a text cannot be compiled, or not evaluated."""
    try:
        value_of(text, blocks=blocks)
    except ExpressionError as error:
        return f"{error.line}: {error.summary}" + (f" [{error.hint}]" if error.hint else "")
    except ExpressionFailed as error:
        return error.summary + (f" [{error.hint}]" if error.hint else "")
    raise AssertionError("it has a value")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # one expression alone keeps its type
        ("${{ n }}", 3),
        ("${{n}}", 3),
        ("${{ x }}", 1.5),
        ("${{ yes }}", True),
        ("${{ none }}", None),
        ("${{ row }}", ROW),
        ("${{ list[:2] }}", ["a", 1]),
        ("${{ range(3) }}", range(3)),
        ("${{ range(10**15) }}", range(10**15)),
        ("${{ (1, 2) }}", [1, 2]),
        ("${{ zip([1], ['a']) }}", [[1, "a"]]),
        ("${{ list[:4]|map('string') }}", ["a", "1", "null", "true"]),
        ("${{ {2: 2, none: 3, yes: 4} }}", {"2": 2, "null": 3, "true": 4}),
        ("${{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("${{ 'a}}b' }}", "a}}b"),
        ("${{ -n }}", -3),
        ("${{- n -}}", 3),
        ("${{ result.of }}", "a name that the compiler uses itself"),
        ("${{ file }}", FileRef("/run/steps/a/out.csv", "ab12", 7)),
        ("${{ path }}", PathParam("/data/in.csv")),
        # in text everything looks as it does in JSON
        ("n=${{ n }}, ${{ x }} ${{ 1e-5 }} ${{ yes }} ${{ none }}", "n=3, 1.5 1e-05 true null"),
        ("${{ n }}${{ n }}", "33"),
        ("at ${{ path }} ${{ file }} ${{ file.name }}", "at /data/in.csv /run/steps/a/out.csv out.csv"),
        ("${{ 'a' ~ yes ~ none ~ n }}", "atruenull3"),
        ("${{ yes|string }}", "true"),
        ("${{ list|join(';') }}", 'a;1;null;true;{"b": 2}'),
        ("${{ [row]|join(attribute='name') }}", "Cu"),
        # line ends are kept, so such a text is no lone expression
        ("${{ n }}\n", "3\n"),
        ("\n${{ n }}", "\n3"),
        ("a\n\n${{ n }}\n\n", "a\n\n3\n\n"),
        # nothing else is special
        ("${{ '${{' }}", "${{"),
        ("a ${{ '${{' }} b }}", "a ${{ b }}"),
        ("$${{ n }}$", "$3$"),
        (
            r"${{ n }} $\frac{a}{b}$ \textbf{x} {{ n }} {% if %} ${x}",
            r"3 $\frac{a}{b}$ \textbf{x} {{ n }} {% if %} ${x}",
        ),
        ("${{ n }} {# n #} ${# n #} $(n)", "3 {# n #} ${# n #} $(n)"),
        ("${{ n }} # not a comment\n## neither", "3 # not a comment\n## neither"),
        ('${{ n }} {"a": {"b": [1, 2]}} C[C@@H](N)C(=O)O', '3 {"a": {"b": [1, 2]}} C[C@@H](N)C(=O)O'),
        ("\x00\x00{${{ n }}\x00\x00}", "\x00\x00{3\x00\x00}"),
        # one pass: what a value contains is not rendered again
        ("${{ text }}", "${{ n }} {{ 7*7 }} ${% if %}"),
        ("> ${{ text }}", "> ${{ n }} {{ 7*7 }} ${% if %}"),
    ],
)
def test_value(text: str, value: Any) -> None:
    found = value_of(text)
    assert (type(found), found) == (type(value), value)


def test_json_like_texts_need_no_escaping() -> None:
    for text in (r"\sum_{i=1}^{n} $x_{i}$ {{x}} {%y%}", "O=C(C)Oc1ccccc1C(=O)O", '{"a": "$b", "c": "$(d)"}', "${x} $%"):
        assert not has_expression(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${{ row.values }}", [1, 2]),
        ("${{ row.items }}", "i"),
        ("${{ row.keys }}", None),
        ("${{ row.get.pop }}", 5),
        ("${{ row['values'] }}", [1, 2]),
        ("${{ row|attr('items') }}", "i"),
        ("${{ [row]|map(attribute='items')|list }}", ["i"]),
        ("${{ [row]|map(attribute='get.pop')|list }}", [5]),
        ("${{ [row]|sum(attribute='get.pop') }}", 5),
        ("${{ [row]|selectattr('items', 'eq', 'i')|list|length }}", 1),
        ("${{ row.update is defined }}", False),
        ("${{ row.clear|default('none') }}", "none"),
    ],
)
def test_on_an_object_a_name_is_its_key(text: str, value: Any) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${% for v in row['values'] %}${{ v }};${% endfor %}", "1;2;"),
        ("${% if yes %}\nA\n${% else %}B${% endif %}", "\nA\n"),
        ("${%- if yes -%} A ${%- endif -%} .", "A."),
        ("${% set n = 8 %}${{ n }} ${% set len = 2 %}${{ len }}", "8 2"),
        ("${% raw %}${{ n }}${% endraw %}", "${{ n }}"),
        ("${% macro twice(v) %}${{ v }}${{ v }}${% endmacro %}${{ twice(n) }}", "33"),
        ("${% for v in row['values'] %}${{ loop.index }}${% endfor %} {% for %}", "12 {% for %}"),
    ],
)
def test_prompts_may_use_blocks(text: str, value: str) -> None:
    assert value_of(text, blocks=True) == value
    assert "blocks '${% … %}' are for prompts only" in why_not(text)


JSON_OR = "[say how: json(x), lines(x) or join(x, ', ')]"
ASK = "[check the name, or test it with 'is defined']"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a ${{ list }}", f"a list cannot stand inside text {JSON_OR}"),
        ("a ${{ row }}", f"an object cannot stand inside text {JSON_OR}"),
        ("a ${{ range(2) }}", f"a range cannot stand inside text {JSON_OR}"),
        ("${{ 'a' ~ list }}", f"a list cannot stand inside text {JSON_OR}"),
        ("${{ list|string }}", f"a list cannot stand inside text {JSON_OR}"),
        ("${{ row.nam }}", f"there is no 'nam' in this object (did you mean 'name'?) {ASK}"),
        ("${{ row.zzz }}", f"there is no 'zzz' in this object (known: get, items, keys, name, values) {ASK}"),
        ("${{ row.name.zzz }}", f"a text has no 'zzz' {ASK}"),
        ("${{ none.output }}", f"null has no 'output' {ASK}"),
        ("${{ list[9] }}", f"a list has no '9' {ASK}"),
        ("${{ [row.zzz] }}", f"there is no 'zzz' in this object (known: get, items, keys, name, values) {ASK}"),
        ("${{ nope }}", f"the name 'nope' is not known here {ASK}"),
        ("${{ 1 / 0 }}", "ZeroDivisionError: division by zero"),
        ("${{ 'a' + 1 }}", 'TypeError: can only concatenate str (not "int") to str'),
        ("${{ 1e308 * 10 }}", "inf is not a number that a step can take"),
        ("${{ {'a': ['nan'|float]} }}", "nan is not a number that a step can take"),
        ("${{ row.name.upper }}", "a function is not a value that a step can take"),
        ("${{ join('abc') }}", "join() and lines() take a list, not a text"),
        ("${{ lines(none) }}", "join() and lines() take a list, not null"),
        (
            "${{ json('inf'|float) }}",
            "a number cannot be written as JSON: Out of range float values are not JSON compliant",
        ),
        ("${{ }}", "1: the expression cannot be read: it is empty"),
        ("${{ n + }}", "1: the expression cannot be read: it ends too early"),
        ("a\n${{ n n }}", "2: the expression cannot be read: expected token '}}', got 'n'"),
        ("${{ 'n }}", "1: the expression cannot be read: a quote is not closed"),
        ("${{ n[ }}", "1: the expression cannot be read: unexpected '}', expected ']'"),
        (
            "${{ n",
            "1: the expression cannot be read: it has no end "
            "[end it with '}}'; where it is not quoted, ' #' begins a comment]",
        ),
        ("a\n\n${{ n|strng }}", "3: there is no filter 'strng' [did you mean 'string'?]"),
        ("${{ 1 if n is evn }}", "1: there is no test 'evn' [did you mean 'even'?]"),
        ("${{ (n|zzzz) if false else 1 }}", "1: there is no filter 'zzzz'"),
        ("${{ len }}", "1: 'len' is a function [write len(…)]"),
        ("${{ always }}", "1: 'always' is a function [write always()]"),
        ("${{-1}}", "1: '${{-' is about the space before it, and is no sign [write '${{ -']"),
        ("a\n${{+n }}", "2: '${{+' is about the space before it, and is no sign [write '${{ +']"),
        ("${{ 1e999 }}", "1: a number is too large"),
        (
            f"${{{{ {'9' * 5000} }}}}",
            "1: the expression cannot be read: a number in it is too long",
        ),
        (f"${{{{ {'(' * 5000} }}}}", "1: the expression goes too deep"),
        (f"${{{{ {'1+' * 4000}1 }}}}", "1: the expression goes too deep"),
        (f"${{{{ {'[' * 95}{']' * 95} }}}}", "1: the expression goes too deep"),
    ],
)
def test_no_value(text: str, expected: str) -> None:
    assert why_not(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${% include 'x' %}", "1: a template cannot include another file [use {from: FILE}]"),
        ("a\n${% import 'x' as y %}", "2: a template cannot include another file [use {from: FILE}]"),
        ("${% from 'x' import y %}", "1: a template cannot include another file [use {from: FILE}]"),
        ("${% extends 'x' %}", "1: a template cannot include another file [use {from: FILE}]"),
        ("${% block a %}${% endblock %}", "1: a template cannot include another file [use {from: FILE}]"),
        (
            "${% for i in list %}",
            "1: the expression cannot be read: the block 'for' has no end [write '${% endfor %}']",
        ),
        ("${% nope %}", "1: the expression cannot be read: there is no block 'nope'"),
        (
            "${% for i in list %}${% continue %}${% endfor %}",
            "1: the expression cannot be read: there is no block 'continue'",
        ),
    ],
)
def test_blocks_that_are_refused(text: str, expected: str) -> None:
    assert why_not(text, blocks=True) == expected


def test_a_failure_says_where_and_what() -> None:
    with pytest.raises(ExpressionFailed) as caught:
        value_of("first\n${{ row.nam }}\n")
    assert caught.value.detail == "w.yaml:3:5\nfirst\n${{ row.nam }}"
    with pytest.raises(ExpressionFailed) as caught:
        value_of("x" * 500 + "${{ nope }}")
    assert caught.value.detail == "w.yaml:3:5\n" + "x" * 200 + " …"


@pytest.mark.parametrize(
    "text", ["n > 2", "${{ n > 2 }}", " n > 2\n", "${{ n > 2 }}\n", "{'a': {'b': n > 2}}", "'}}' != 'x'"]
)
def test_a_condition_may_leave_out_the_delimiters(text: str) -> None:
    assert compile_condition(text, "w").evaluate(SCOPE)


@pytest.mark.parametrize("text", ["${{ n }} > 2", "${{ n }}${{ n }}", "n > 2 }} x"])
def test_a_condition_is_one_expression(text: str) -> None:
    with pytest.raises(ExpressionError, match="a condition is one expression"):
        compile_condition(text, "w")


def refs(template: Template) -> set[str]:
    return {f"{ref.step}.{ref.field}" for ref in template.refs}


@pytest.mark.parametrize(
    ("text", "expected", "direct"),
    [
        ("${{ steps.a.output }}", {"a.output"}, StepRef("a", "output")),
        ("${{ steps['a']['results'] }}", {"a.results"}, StepRef("a", "results")),
        ("${{ steps.a.outputs }}\n", {"a.outputs"}, None),
        ("${{ steps.a.outputs[:3] }}", {"a.outputs"}, None),
        ("${{ steps.a.output.rows[0].x }}", {"a.output"}, None),
        ("${{ (steps.a.outputs) }}", {"a.outputs"}, StepRef("a", "outputs")),
        ("${{ steps.a.outputs + steps.b.results }}", {"a.outputs", "b.results"}, None),
        ("${{ steps.a.output[steps.b.output] }}", {"a.output", "b.output"}, None),
        ("${{ steps.a.status == 'done' and steps.a.error is none }}", {"a.status", "a.error"}, None),
        ("${{ 'steps.a.output' }}", set(), None),
        ("${{ row.steps }}", set(), None),
        ("${{ [row]|map(attribute='steps.a.output')|list }}", set(), None),
    ],
)
def test_references(text: str, expected: set[str], direct: StepRef | None) -> None:
    template = compile_text(text, "w")
    assert (refs(template), template.direct) == (expected, direct)


def test_references_inside_blocks() -> None:
    text = "${% for x in steps.a.outputs %}${% if steps.b.output %}${{ steps.c.output }}${% endif %}${% endfor %}"
    assert refs(compile_text(text, "w", blocks=True)) == {"a.outputs", "b.output", "c.output"}


@pytest.mark.parametrize(
    "text",
    [
        "${{ steps }}",
        "${{ steps.a }}",
        "${{ steps[n].output }}",
        "${{ steps|length }}",
        "${{ steps|attr('a') }}",
        "${{ steps.a.output and steps }}",
        "${{ [steps] }}",
        "${{ steps.items() }}",
    ],
)
def test_steps_alone_have_no_edges(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_text(text, "w")
    assert caught.value.summary in ("'steps' needs a step's name and a field", "a step has no 'items'")
    assert caught.value.hint == "write steps.NAME.output (one instance), .outputs or .results (a fan-out)"


@pytest.mark.parametrize(
    "alias", ["${% set s = steps %}", "${% for s in steps %}${% endfor %}", "${% with s = steps %}${% endwith %}"]
)
def test_steps_get_no_other_name(alias: str) -> None:
    with pytest.raises(ExpressionError, match="needs a step's name"):
        compile_text(alias, "w", blocks=True)


@pytest.mark.parametrize(
    "text",
    [
        "${{ 1" + " + 1" * 3000 + " }}",
        "${{ a }} and " * 2000,
        "${{ " * 1_000_000,
        "${{ a" + " }}${{" * 1_000_000,
        "${% if a %}" * 1_000_000,
    ],
    ids=["one", "many", "none closed", "one line", "blocks"],
)
def test_expressions_have_an_upper_limit(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_text(text, "f:1:1", blocks=True)
    assert caught.value.summary == "the expressions of one text have 10,000 characters at most"
    assert caught.value.hint == "let a 'python' step work it out, or put long texts outside of the braces"


def test_text_around_expressions_may_be_long() -> None:
    assert compile_text("x" * 1_000_000 + "${{ a }}", "f:1:1").evaluate({"a": 1}) == "x" * 1_000_000 + "1"
