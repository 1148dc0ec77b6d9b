"""Text that a terminal would obey is written out."""

from __future__ import annotations

import doctest
import io
import sys
import unicodedata

import pytest

from metis_flow.views import safe_text
from metis_flow.views.safe_text import one_line, safe
from metis_flow.views.tables import Column, print_table
from metis_flow.views.values import lines_of, named, near, short


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, 5 µm, 水 and 🙂", "plain text, 5 µm, 水 and 🙂"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("over\rwritten", "over\\x0dwritten"),
        ("windows\r\nlines", "windows\nlines"),
        ("back\x08\x08space", "back\\x08\\x08space"),
        ("\u202egnp.exe\u202c", "\\u202egnp.exe\\u202c"),
        ("\u2066isolated\u2069", "\\u2066isolated\\u2069"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        ("hidden \U000e0041 tag", "hidden \\U000e0041 tag"),
        ("line\u2028separator", "line\\u2028separator"),
        ("👩\u200d🔬", "👩\u200d🔬"),
    ],
)
def test_safe(text: str, expected: str) -> None:
    assert safe(text) == expected


def test_no_control_character_at_all_is_left() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    left = {char for char in safe(everything) if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")}
    assert left == {"\n", "\t"}
    turning = {
        char
        for char in safe(everything)
        if unicodedata.bidirectional(char) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    }
    assert turning == set()


def test_what_is_no_text_is_shown_as_text() -> None:
    assert safe(None) == "None"
    assert one_line(12) == "12"


def test_one_line_has_no_newline_and_is_cut() -> None:
    assert one_line("a\n\n b\tc") == "a b c"
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("abcd", 4) == "abcd"


def test_the_examples_of_the_documentation() -> None:
    assert doctest.testmod(safe_text).failed == 0


def test_values_on_one_line() -> None:
    assert short({"a": [1, None, "ü"]}) == '{"a": [1, null, "ü"]}'
    assert short("text\nand more") == "text and more"
    assert short({"a": "\x1b[2J"}) == '{"a": "\\u001b[2J"}'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", ["x: text"]),
        ("two\nlines\n", ["x:", "  two", "  lines"]),
        (3.5, ["x: 3.5"]),
        (None, ["x: null"]),
        (True, ["x: true"]),
        ([], ["x: []"]),
        ({}, ["x: {}"]),
        ("", ["x: "]),
        ({"a": 1, "b": "c"}, ["x:", "  {a: 1, b: c}"]),
        ([{"a": 1}, {"a": 2}], ["x:", "  - {a: 1}", "  - {a: 2}"]),
        ("\x1b[2J", ["x: \\x1b[2J"]),
        (["\x1b[2J"], ["x:", '  ["\\e[2J"]']),
    ],
)
def test_named_values(value: object, expected: list[str]) -> None:
    assert list(named("x", value)) == expected


def test_a_text_of_yaml_is_one_that_can_be_read_back() -> None:
    import yaml

    value = {"yes": ["no", "012", 1e-5, "a: b"], "deep": {"er": [{"x": None}]}}
    assert yaml.safe_load("\n".join(lines_of(value))) == value


def test_paths_are_shown_from_the_current_folder(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    assert near(tmp_path / "runs" / "a") == "runs/a"
    assert near(tmp_path.parent) == str(tmp_path.parent)


def test_a_table_takes_cells_as_data() -> None:
    out = io.StringIO()
    cells = ["[bold]x[/bold]", ":smile:", "\x1b[2J", None, "a\nb"]
    print_table([Column("one"), Column("two", right=True)], [[cell, cell] for cell in cells], out, indent=2)
    assert out.getvalue().splitlines() == [
        "  one                        two",
        "  [bold]x[/bold]  [bold]x[/bold]",
        "  :smile:                :smile:",
        "  \\x1b[2J                \\x1b[2J",
        "",
        "  a b                        a b",
    ]
