"""What a user sees of mistakes in a workflow file: all of them at once, each with its place, and no traceback."""

from __future__ import annotations

import json
from pathlib import Path

from cli_kit import Cli, Here

SIX = """\
version: 1
name: six
params:
  temperature: {type: number, default: 0.2}
steps:
  load:
    uses: read_rows
    with: {path: rows.csv}
  ask:
    foreach: ${{ steps.laod.output }}
    chat: Tell me about ${{ item.name }} at ${{ params.temprature }}.
    retires: 3
    repair: many
  show:
    run: |
      echo ${{ steps.load.output }}
    timeout: 5m
    timeout: 6m
"""
SIX_ERRORS = """\
six.yaml:10:24: there is no step 'laod'
    10 |     foreach: ${{ steps.laod.output }}
                                ^
  hint: did you mean 'load'?
six.yaml:11:56: there is no parameter 'temprature'
    11 |     chat: Tell me about ${{ item.name }} at ${{ params.temprature }}.
                                                                ^
  hint: did you mean 'temperature'?
six.yaml:12:5: unknown key 'retires' in 'ask'
    12 |     retires: 3
             ^
  hint: did you mean 'retry'?
six.yaml:13:13: 'repair' should be a whole number, not 'many'
    13 |     repair: many
                     ^
six.yaml:16:12: a script holds no expressions: what a model said must not become shell code
    16 |       echo ${{ steps.load.output }}
                    ^
  hint: write 'env: {VALUE: "${{ … }}"}' on the step and "$VALUE" in the script
six.yaml:18:5: the key 'timeout' is written twice
    18 |     timeout: 6m
             ^
  hint: the first is on line 17
6 mistakes found.
"""


def lines_and_columns(text: str) -> list[str]:
    return [line.split(" ")[0] for line in text.splitlines() if line.startswith("six.yaml:")]


def test_plan_tells_six_mistakes_at_once_each_with_line_and_column(cli: Cli) -> None:
    cli.write("six.yaml", SIX)
    ended = cli("plan", "six.yaml")
    assert ended.code == 2
    assert ended.out == ""
    assert lines_and_columns(ended.err) == [
        "six.yaml:10:24:",
        "six.yaml:11:56:",
        "six.yaml:12:5:",
        "six.yaml:13:13:",
        "six.yaml:16:12:",
        "six.yaml:18:5:",
    ]
    assert "Traceback" not in ended.err


def test_the_words_of_the_six_mistakes(here: Here) -> None:
    Path("six.yaml").write_text(SIX)
    for command in ("plan", "validate", "graph", "run"):
        ended = here(command, "six.yaml")
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == SIX_ERRORS


def test_the_six_mistakes_as_json(cli: Cli) -> None:
    cli.write("six.yaml", SIX)
    ended = cli("run", "six.yaml", "--json")
    error = ended.document["error"]
    assert ended.code == 2
    assert error["code"] == 2
    assert error["summary"] == "6 mistakes, the first: there is no step 'laod'"
    assert error["where"] == "six.yaml:10:24"
    assert error["hint"] == "did you mean 'load'?"
    assert [problem["where"] for problem in error["problems"]][1:3] == ["six.yaml:11:56", "six.yaml:12:5"]
    assert set(error["problems"][0]) == {"summary", "where", "hint", "code"}


def test_a_cycle_is_shown_as_a_cycle(here: Here) -> None:
    Path("c.yaml").write_text(
        "version: 1\nname: c\nsteps:\n"
        '  a: {chat: "${{ steps.c.output }}"}\n'
        '  b: {chat: "${{ steps.a.output }}"}\n'
        '  c: {chat: "${{ steps.b.output }}"}\n'
    )
    for command in ("plan", "validate", "graph"):
        ended = here(command, "c.yaml")
        assert ended.code == 2
        assert ended.err.splitlines()[0] == "c.yaml:4:3: the steps wait for each other: a → b → c → a"


def test_an_unquoted_expression_in_flow_style_gets_the_hint_to_quote_it(here: Here) -> None:
    Path("f.yaml").write_text(
        "version: 1\nname: f\nparams: {x: {type: string, default: a}}\nsteps:\n"
        "  a:\n    uses: read_rows\n    with: {path: ${{ params.x }}}\n"
    )
    ended = here("plan", "f.yaml")
    assert ended.code == 2
    assert ended.err.startswith("f.yaml:7:")
    assert 'hint: inside { } or [ ] an expression must be quoted: "${{ … }}"' in ended.err


def test_a_file_that_is_not_there(here: Here) -> None:
    ended = here("run", "nothing.yaml", "--json")
    assert ended.code == 2
    assert json.loads(ended.out)["error"]["where"] == "nothing.yaml"
    assert "Traceback" not in ended.err


def test_a_folder_in_place_of_a_file(here: Here, tmp_path: Path) -> None:
    ended = here("validate", tmp_path)
    assert ended.code == 2
    assert "Traceback" not in ended.err


def test_validate_says_that_a_file_is_fine(here: Here, repository: Path) -> None:
    ended = here("validate", repository / "workflows" / "hello.yaml")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("workflows/hello.yaml: fine: 2 steps\n")


def test_validate_says_what_it_could_not_check(here: Here) -> None:
    Path("p.yaml").write_text(
        "version: 1\nname: p\nparams: {n: {type: integer}}\n"
        'steps: {a: {foreach: "${{ range(params.n) }}", run: "true"}}\n'
    )
    assert here("validate", "p.yaml").out == "p.yaml: fine: 1 step; not checked with values: n\n"
    assert here("validate", "p.yaml", "-p", "n=3").out == "p.yaml: fine: 1 step\n"
    assert here("validate", "p.yaml", "-p", "n=3", "--json").document == {
        "file": "p.yaml",
        "valid": True,
        "steps": ["a"],
        "without_value": [],
    }
    ended = here("validate", "p.yaml", "-p", "n=three")
    assert ended.code == 2
    assert ended.err == "params.n: 'n' should be a whole number, not 'three'\n"
