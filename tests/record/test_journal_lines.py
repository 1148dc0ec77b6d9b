"""A line of the journal: any text comes back, and nothing that JSON lacks goes in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metis_flow.errors import RecordError
from metis_flow.record import lines


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "nul \0 and \x1f",
        "line \u2028 and paragraph \u2029 and \x85",
        "lone \ud800 and \udcff surrogates",
        'quotes " and \\ and \n newlines \r\n',
        "é, Å, 漢字, 🜁",
        "",
    ],
)
def test_any_text_comes_back(text: str) -> None:
    entry = {"e": "done", "output": {text: [text, {"deep": text}]}}
    line = lines.sealed(lines.encode(entry), 77)
    assert lines.decode(line, 77) == entry
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert b"\0" not in line


@pytest.mark.parametrize("text", ["é", "lone \ud800"])
def test_a_line_is_plain_json_in_utf8_for_other_tools(text: str) -> None:
    line = lines.sealed(lines.encode({"e": "note", "text": text}), 0)
    assert json.loads(line.decode("utf-8"))["text"] == text


def test_a_surrogate_pair_comes_back_as_the_character_it_stands_for() -> None:
    assert lines.decode(lines.sealed(lines.encode({"text": "\ud83d\udf01"}), 0), 0) == {"text": "🜁"}


def test_every_changed_byte_is_noticed() -> None:
    line = lines.sealed(lines.encode({"e": "done", "output": 1.42}), 5)
    for place in range(len(line)):
        edited = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
        with pytest.raises(ValueError, match=r"^the line is not as it was written$"):
            lines.decode(edited, 5)


def test_a_line_in_another_place_is_noticed() -> None:
    line = lines.sealed(lines.encode({"e": "done", "output": 1.42}), 5)
    with pytest.raises(ValueError, match=r"^the line is not as it was written$"):
        lines.decode(line, 6)


HINT = "return numbers, text, true, false, null, lists and objects; write anything else to a file"


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (
            {"e": "done", "step": "fit", "key": "GaAs", "output": {"gap": [1.0, float("nan")]}},
            "fit@GaAs: the 'done' entry cannot be recorded: output.gap[1] is nan, a number that JSON does not have",
        ),
        (
            {"e": "done", "step": "fit", "output": float("-inf")},
            "fit: the 'done' entry cannot be recorded: output is -inf, a number that JSON does not have",
        ),
        (
            {"e": "note", "seen": {1, 2}},
            "the 'note' entry cannot be recorded: seen is of type set, which JSON does not have",
        ),
        (
            {"e": "note", "pair": {"a": (1, b"x")}},
            "the 'note' entry cannot be recorded: pair.a[1] is of type bytes, which JSON does not have",
        ),
        (
            {"e": "note", "counts": {(1, 2): 3}},
            "the 'note' entry cannot be recorded: it has no form in JSON "
            "(keys must be str, int, float, bool or None, not tuple)",
        ),
    ],
)
def test_what_json_lacks_is_refused_with_its_place(entry: dict[str, Any], text: str) -> None:
    with pytest.raises(RecordError) as caught:
        lines.encode(entry)
    assert str(caught.value) == text
    assert caught.value.hint == HINT


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(RecordError) as caught:
        lines.encode({"e": "note", "loop": loop})
    place = "loop" + "[0]" * 18 + "[0"
    assert str(caught.value) == (f"the 'note' entry cannot be recorded: {place}… is nested too deeply, or holds itself")
