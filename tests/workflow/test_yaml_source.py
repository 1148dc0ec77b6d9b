"""The YAML reader: what a word means, what is refused, and where it says that things are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import WorkflowError
from metis_flow.workflow.source import Document, parse_document, read_document

SCALARS: list[tuple[str, Any]] = [
    ("1", 1),
    ("-1", -1),
    ("+1", 1),
    ("0", 0),
    ("1_000", 1000),
    ("3_000_000", 3_000_000),
    ("0x1F", 31),
    ("0o17", 15),
    ("1.5", 1.5),
    ("1.", 1.0),
    (".5", 0.5),
    ("-.5", -0.5),
    ("1e5", 1e5),
    ("1e-5", 1e-5),
    ("1E+5", 1e5),
    ("1_000.5", 1000.5),
    ("true", True),
    ("True", True),
    ("TRUE", True),
    ("false", False),
    ("null", None),
    ("~", None),
    ("", None),
    # what scientists mean as text
    ("010", "010"),
    ("007", "007"),
    ("1__000", "1__000"),
    ("_1", "_1"),
    ("1_", "1_"),
    ("0b101", "0b101"),
    ("-0x1F", "-0x1F"),
    ("yes", "yes"),
    ("no", "no"),
    ("on", "on"),
    ("off", "off"),
    ("y", "y"),
    ("tRue", "tRue"),
    ("2024-01-02", "2024-01-02"),
    ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
    ("12:30:45", "12:30:45"),
    ("1:30", "1:30"),
    ("nan", "nan"),
    ("NaN", "NaN"),
    ("inf", "inf"),
    ("1.2.3", "1.2.3"),
    ("1e", "1e"),
    ("=", "="),
    ("C1=CC=CC=C1", "C1=CC=CC=C1"),
    (r"\frac{1}{2}", r"\frac{1}{2}"),
    ("10.1000/xyz", "10.1000/xyz"),
    ("'1'", "1"),
    ('"true"', "true"),
    (r'"a\tb\u00e9\U0001F600"', "a\tb\u00e9\U0001f600"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalar(text: str, value: Any) -> None:
    document = parse_document(f"a: {text}\n")
    assert document.problems == []
    assert (type(document.data["a"]), document.data["a"]) == (type(value), value)


def found(text: str) -> list[str]:
    """What is refused, as ``line:column summary [hint]``; one that ends the reading comes alone."""
    try:
        problems = parse_document(text, "f").problems
    except WorkflowError as error:
        problems = [error]
    return [
        f"{str(problem.where).removeprefix('f:')} {problem.summary}" + (f" [{problem.hint}]" if problem.hint else "")
        for problem in problems
    ]


QUOTE_IN_FLOW = 'inside { } or [ ] an expression must be quoted: "${{ … }}"'
QUOTE = 'quote the expression: "${{ … }}"'
TEXT = "quote it if it is meant as text"

REFUSED = [
    ("a: .nan", [f"1:4 .nan is not a number that a workflow can hold [{TEXT}]"]),
    (
        "a: [.inf, -.Inf]",
        [f"1:{c} {w} is not a number that a workflow can hold [{TEXT}]" for c, w in ((5, ".inf"), (11, "-.Inf"))],
    ),
    ("a: 1e999", [f"1:4 1e999 is too large for a number [{TEXT}]"]),
    ("a: -1e999", [f"1:4 -1e999 is too large for a number [{TEXT}]"]),
    (
        "a: 1\nb: 2\na: 3\na: 4",
        [
            "3:1 the key 'a' is written twice [the first is on line 1]",
            "4:1 the key 'a' is written twice [the first is on line 1]",
        ],
    ),
    ("x: {a: 1, a: 2}", ["1:11 the key 'a' is written twice [the first is on line 1]"]),
    ("1: a\n'1': b", ["2:1 the key '1' is written twice [the first is on line 1]"]),
    ("b: &b {x: 1}\na:\n  <<: *b", ["3:3 merge keys ('<<') are not used in workflow files [write the keys out]"]),
    ("a: !!str 1", ["1:4 the tag '!!str' is not used in workflow files [remove it]"]),
    ("a: !mine {b: 1}", ["1:4 the tag '!mine' is not used in workflow files [remove it]"]),
    (
        "a: !!python/object/apply:os.system [id]",
        ["1:4 the tag '!!python/object/apply:os.system' is not used in workflow files [remove it]"],
    ),
    ("a: ! x", ["1:4 the tag '!' is not used in workflow files [remove it]"]),
    ("!!str a: 1", ["1:1 the tag '!!str' is not used in workflow files [remove it]"]),
    ("a: &x [*x]", ["1:8 the alias '*x' contains itself [write the value out]"]),
    ("a: *x", ["1:4 the alias '*x' has no anchor before it [write the value out]"]),
    ("a: 1\n---\nb: 2", ["2:1 a workflow file holds one YAML document [remove the second '---']"]),
    (
        "? [a]\n: b",
        ["1:3 a key must be a plain word or a quoted string [quote the whole text if it is one expression]"],
    ),
    ("a:\n  b: {c: ${{ params.x }}}", [f"2:10 this is not YAML: did not find expected ',' or '}}' [{QUOTE_IN_FLOW}]"]),
    ("a: [${{ params.x }}]", [f"1:5 this is not YAML: did not find expected ',' or ']' [{QUOTE_IN_FLOW}]"]),
    ("a: ${{ x ? y: z }}", [f"1:13 this is not YAML: mapping values are not allowed in this context [{QUOTE}]"]),
    (
        "a:\n\tb: 1",
        ["2:1 this is not YAML: found character that cannot start any token [indent with spaces, not tabs]"],
    ),
    (
        "a: x: y",
        [
            "1:5 this is not YAML: mapping values are not allowed in this context "
            "[quote a text that holds ': ', or check the indentation]"
        ],
    ),
    ("a: @x", ["1:4 this is not YAML: found character that cannot start any token [quote a text that begins with @]"]),
    ("a: |\n  x\n y\n", ["3:2 this is not YAML: did not find expected key [check the indentation]"]),
    ("a: 'x\n", ["2:1 this is not YAML: found unexpected end of stream [what begins on line 1 is not closed]"]),
    (
        "a: 1\nb: [1,\n  2\nc: 3\n",
        ["4:2 this is not YAML: did not find expected ',' or ']' [what begins on line 2 is not closed]"],
    ),
    ("a: é\nb: x\x00y", ["2:5 the file holds a character that YAML does not allow"]),
    ("a: ééé\x07", ["1:7 the file holds a character that YAML does not allow"]),
    ("a: \ud800", ["1:4 the file holds a character that is not text"]),
    ('a: "\\ud800"', ["1:7 this is not YAML: found invalid Unicode character escape code"]),
    ("[" * 100_000, ["1:66 nested deeper than 64 levels [flatten the structure]"]),
    ("{a: " * 10_000, ["1:261 nested deeper than 64 levels [flatten the structure]"]),
]


@pytest.mark.parametrize(("text", "expected"), REFUSED, ids=[text[:30] for text, _ in REFUSED])
def test_refused(text: str, expected: list[str]) -> None:
    assert found(text) == expected


def test_alias_bomb_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (problem,) = found("\n".join(lines))
    assert problem == "4:45 the aliases of this file expand to too many values [write the values out]"


def test_aliases_that_do_no_harm_are_taken() -> None:
    document = parse_document("&k a: &x {b: [1, 2]}\nc: *x\nd: *k\n")
    assert document.data == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}, "d": "a"}
    assert document.problems == []
    # what is wrong inside is shown where it is written, the alias as a whole where it stands
    assert document.span(("c", "b", 1)).line == 1
    assert (document.span(("c",)).line, document.span(("c",)).column) == (2, 4)


def test_a_second_merge_of_keys_does_not_reach_the_data() -> None:
    assert parse_document("a: &a {x: 1}\nb: {<<: *a, y: 2}\n").data == {"a": {"x": 1}, "b": {"y": 2}}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "~\n"])
def test_nothing(text: str) -> None:
    document = parse_document(text)
    assert document.data is None
    assert document.error("x").where == "<text>:1:1"


def place(document: Document, *location: str | int, key: bool = False) -> str:
    span = document.span(location, key=key)
    return f"{span.line}:{span.column}"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_places_whatever_ends_the_lines(newline: str) -> None:
    text = "a:\n  b: é\n  c:\n    - x\n    - {d: 'y'}\n"
    document = parse_document(text.replace("\n", newline))
    assert document.data == {"a": {"b": "é", "c": ["x", {"d": "y"}]}}
    places = [place(document, "a"), place(document, "a", "c", key=True), place(document, "a", "c", 1, "d")]
    assert places == ["2:3", "3:3", "5:11"]
    assert place(document, "a", "c", 1, "no", "such") == "5:7"  # the nearest that there is


def test_lines_end_where_those_of_an_editor_do() -> None:
    # YAML 1.1 also ends them at these characters, which stand in abstracts copied from web pages
    document = parse_document("a: 'x\u2028y'\nb: |\n  p\u0085q\u2029r\nc\u2028: 1\n")
    assert document.data == {"a": "x\u2028y", "b": "p\u0085q\u2029r\n", "c\u2028": 1}
    assert place(document, "c\u2028", key=True) == "4:1"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: [\r\n")
    with pytest.raises(WorkflowError) as caught:
        read_document(path)
    assert caught.value.where == f"{path}:3:1"
    assert parse_document("\ufeffa: 1").data == {"a": 1}


@pytest.mark.parametrize(
    ("data", "place", "summary"),
    [
        (b"a: \xc3\xa9\nbb: \xe9\n", ":2:5", "the file is not UTF-8 text"),
        ("a: 1\n".encode("utf-16"), ":1:1", "the file is not UTF-8 text"),
        (b"\x00\x00", ":1:1", "the file holds a character that YAML does not allow"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, data: bytes, place: str, summary: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_bytes(data)
    with pytest.raises(WorkflowError) as caught:
        read_document(path)
    assert (caught.value.where, caught.value.summary) == (f"{path}{place}", summary)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, summary in (
        (tmp_path / "no.yaml", "there is no such file"),
        (tmp_path, "the file cannot be read: Is a directory"),
    ):
        with pytest.raises(WorkflowError) as caught:
            read_document(path)
        assert (caught.value.where, caught.value.summary) == (str(path), summary)


def test_ten_million_characters() -> None:
    long = "x" * 10_000_000
    assert parse_document(f"a: {long}\n").data == {"a": long}
    assert parse_document(f"a: {'9' * 500}\n").data == {"a": "9" * 500}
    lines = "  abc ${{ x }}\n" * 300_000
    assert len(parse_document(f"a: |\n{lines}").data["a"]) == 13 * 300_000
    assert found("a: ${{ x: " + ",[" * 300_000)  # a hint is looked for in a part of the line only


def test_the_offending_line_is_shown() -> None:
    document = Document("f", "a: 1\n\tbad\x1b[31m: x\n" + "y" * 300 + "!\n")
    shown = document.error_at("wrong", 2, 2).render()
    assert shown == "f:2:2: wrong\n    2 | \tbad\ufffd[31m: x\n        \t^"
    assert document.error_at("wrong", 3, 301).render().splitlines()[1:] == ["    3 | " + "y" * 80 + "!", " " * 88 + "^"]
