"""Every mistake in how parameters are declared."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Mistakes = Callable[..., list[str]]

HEAD = "version: 1\nname: w\n"

PARAMS = [
    pytest.param(
        HEAD
        + (
            "params:\n"
            "  x: 5\n"
            "  y: {type: strng}\n"
            "  z: {default: 5}\n"
            "  1a: {type: string}\n"
            "  q: {type: string, minimun: 3}\n"
            "steps: {a: {run: echo}}\n"
        ),
        [
            "4:6 'x' should be an object (key: value lines), not 5",
            (
                "5:13 'type' should be string, number, integer, boolean, path, array or object, not "
                "'strng' [did you mean 'string'?]"
            ),
            "6:3 'type' is missing in 'z' [add 'type: …']",
            "7:3 the name '1a' is not allowed [letters, digits and '_', no digit first]",
            "8:21 unknown key 'minimun' in 'q' [did you mean 'minimum'?]",
        ],
        id="declarations",
    ),
    pytest.param(
        HEAD
        + (
            "params:\n"
            "  a: {type: integer, default: 1.5}\n"
            '  b: {type: number, default: "5"}\n'
            "  c: {type: string, default: 5}\n"
            "  d: {type: boolean, default: yes}\n"
            "  e: {type: array, default: {}}\n"
            "  f: {type: number, default: 3, maximum: 2}\n"
            "  g: {type: string, default: x, enum: [y, z]}\n"
            "  h: {type: string, minimum: 1}\n"
            "  i: {type: integer, minimum: 3, maximum: 2}\n"
            "  j: {type: integer, enum: [1, x]}\n"
            '  k: {type: string, default: "${{ params.a }}"}\n'
            '  l: {type: path, default: "~nobody-here/x"}\n'
            "  m: {type: number, enum: []}\n"
            "steps: {s: {run: echo}}\n"
        ),
        [
            "4:31 the default of 'a' should be a whole number, not 1.5",
            "5:30 the default of 'b' should be a number, not '5'",
            "6:30 the default of 'c' should be a text, not 5",
            "7:31 the default of 'd' should be true or false, not 'yes'",
            "8:29 the default of 'e' should be a list, not {}",
            "9:30 the default of 'f' is 3, and should be at most 2",
            "10:30 the default of 'g' cannot be 'x' [one of: 'y', 'z']",
            "11:30 'minimum' is for number and integer, not string",
            "12:43 'maximum' is below 'minimum', which is 3",
            "13:28 'enum' holds 'x', which is not a whole number",
            "14:30 a default holds no expressions [write the value; other parameters can be used in the steps]",
            "16:27 'enum' is empty",
        ],
        id="defaults and bounds",
    ),
]


@pytest.mark.parametrize(("text", "expected"), PARAMS)
def test_file(mistakes: Mistakes, text: str, expected: list[str]) -> None:
    assert mistakes(text) == expected
