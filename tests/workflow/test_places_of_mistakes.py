"""Where a mistake inside a text is shown, however the text is written down."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

Mistakes = Callable[..., list[str]]


def marked(text: str) -> tuple[str, str]:
    """The text without its mark ``»``, and the mark's ``line:column``."""
    before, after = text.split("»")
    return before + after, f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


FORMS = [
    pytest.param("chat: see ${{ »nope }}", id="plain"),
    pytest.param("chat: é ü ${{ params.»nope }} and", id="plain, letters of two bytes"),
    pytest.param('chat: "see ${{ »nope }}"', id="double quotes"),
    pytest.param('chat: "a \\"b\\" \\u00e9\\n ${{ steps.»nope.output }}"', id="double quotes with escapes"),
    pytest.param('chat: "a\n    b\n\n    ${{ params[\\"»nope\\"] }}"', id="double quotes over lines"),
    pytest.param("chat: 'it''s ${{ »nope }}'", id="single quotes"),
    pytest.param("chat:\n  a b\n  c ${{ »nope }}", id="plain over lines"),
    pytest.param("chat: |\n  nope ${{ run.id }} nope\n  ${{ run.id }} ${{ »nope }}\n", id="literal"),
    pytest.param("chat: |2-\n    nope ${{ run.id }}\n\n\n   c ${{ steps.a.»outputs }}", id="literal, indented"),
    pytest.param("chat: >\n  a b nope\n  c ${{ run.id }}\n\n  d ${{ steps.f.»output }}\n", id="folded"),
    pytest.param("chat: >-\n  a\n    b\n  c ${{ run.»idd }}\n", id="folded, with lines kept"),
    pytest.param("chat: |\n  ${% for x in [1] %}\n  ${{ x }} ${{ »nope }}\n  ${% endfor %}\n", id="in a block"),
    pytest.param("chat: |\n  ${% for x in »nope %}${{ x }}${% endfor %}\n", id="in the head of a block"),
    pytest.param("chat: |\n  a ${{ run.id }}\n  b ${{ 1 +\n    1|»nope }}\n  c ${{ run.id }}\n", id="over lines"),
    pytest.param("chat: |\n  ${{ run.id }}\n  »${{ 1 + }}\n", id="syntax"),
    pytest.param("chat: |\n  ${{ '${{' }} ${{ run.id }}\n  »${{ ) }}\n", id="after a literal opener"),
    pytest.param("chat: |\n  ${{ 'nope' ~ »nope }}\n", id="not in its own quotes"),
    pytest.param("chat: |\n  ${{ steps.a.output.nope }} ${{ »nope.a }}\n", id="not a field of that name"),
    pytest.param("chat: ${{ [steps.f.outputs, steps.»b.outputs] }}", id="not a letter of another word"),
    pytest.param("chat: &text ${{ »nope }}", id="with an anchor"),
    pytest.param("run: x\nif: »nope", id="bare condition"),
    pytest.param('run: x\nif: "»nope == 1"', id="quoted condition"),
    pytest.param("run: x\nif: >\n  steps.a.output == 1\n  and steps.»b.output", id="folded condition"),
    pytest.param("run: x\nenv: {A: '${{ run.id }}', B: [{c: \"${{ »nope }}\"}]}", id="deep in flow style"),
]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("text", FORMS)
def test_place(mistakes: Mistakes, text: str, newline: str) -> None:
    head = "version: 1\nname: w\nsteps:\n  a: {run: x}\n  f: {foreach: [1], run: x}\n  s:\n"
    whole, place = marked(head + textwrap.indent(text, "    "))
    found = mistakes(whole.replace("\n", newline))
    assert [problem.split()[0] for problem in found] == [place]


def test_in_a_prompt_file_it_is_shown_there(mistakes: Mistakes) -> None:
    prompt = "# You are\n\n${% for x in steps.a.output %}\n  - ${{ x }} ${{ nope }}\n${% endfor %}\n"
    text = "chat:\n  system: {from: prompts/system.md}\n  user: {from: user.md}"
    found = mistakes(text, {"prompts/system.md": prompt, "user.md": "\ufeff${{ params.x }}"}, step=True)
    assert found == [
        "prompts/system.md:4:18 the name 'nope' is not known here [known: params, run, steps]",
        "user.md:1:12 there is no parameter 'x' [declare it under 'params']",
    ]


def test_through_an_alias_it_is_shown_where_it_is_written(mistakes: Mistakes) -> None:
    text = (
        "version: 1\nname: w\nsteps:\n"
        "  a:\n    chat: &ask {user: 'hi ${{ nope }}'}\n"
        "  b:\n    chat: *ask\n"
        "  c:\n    run: &script echo\n    repeats: 1\n"
        "  d:\n    run: *script\n    env: &env {A: [1]}\n    args: *env\n"
    )
    assert mistakes(text) == [
        "5:31 the name 'nope' is not known here [known: params, run, steps]",
        "10:5 unknown key 'repeats' in 'c' [did you mean 'repeat'?]",
        "14:11 'args' should be a list, not an object",
    ]


def test_six_mistakes_are_six_errors(mistakes: Mistakes) -> None:
    text = """\
version: 1
name: w
params:
  temperature: {type: number, default: warm}
steps:
  load:
    uses: read_rows
    with: {path: "${{ params.paper }}"}
  ask:
    foreach: ${{ steps.laod.output }}
    chat: ${{ item }}
    retried: 3
  show:
    run: |
      echo "${{ steps.ask.outputs }}"
    timeout: 5m
    timeout: 6m
"""
    assert mistakes(text) == [
        "4:40 the default of 'temperature' should be a number, not 'warm'",
        "8:30 there is no parameter 'paper' [known: temperature]",
        "10:24 there is no step 'laod' [did you mean 'load'?]",
        "12:5 unknown key 'retried' in 'ask' [did you mean 'retry'?]",
        "15:13 a script holds no expressions: what a model said must not become shell code "
        '[write \'env: {VALUE: "${{ … }}"}\' on the step and "$VALUE" in the script]',
        "17:5 the key 'timeout' is written twice [the first is on line 16]",
    ]
