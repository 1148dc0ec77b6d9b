"""Every mistake in what a verb is given: scripts, functions, prompts, and their values."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Mistakes = Callable[..., list[str]]

VERBS = [
    pytest.param(
        "chat: {user: {from: p.md}}",
        ["10:25 the file 'p.md' cannot be read: No such file or directory [paths are relative to the workflow]"],
        id="from missing",
    ),
    pytest.param(
        'chat: {user: {from: "${{ params.x }}"}}',
        ["10:25 'from' takes the name of a file, without expressions"],
        id="from expr",
    ),
    pytest.param(
        "chat: {user: {from: p.md, x: 1}}",
        [
            "10:25 the file 'p.md' cannot be read: No such file or directory [paths are relative to the workflow]",
            "10:31 unknown key 'x' in 'user' [known: from]",
        ],
        id="from extra",
    ),
    pytest.param("chat: {user: {from: 5}}", ["10:25 'from' should be a text, not 5 [quote it]"], id="from num"),
    pytest.param('chat: {user: {from: "a\\0"}}', ["10:25 the name of the file holds a NUL character"], id="from nul"),
    pytest.param(
        "run: x\nwith: {a: 1}",
        ["11:5 'with' is for python, uses and workflow steps, and 's' is a run step"],
        id="with on run",
    ),
    pytest.param(
        "chat: x\nenv: {A: 1}\nargs: [1]\nstdin: x\nfiles: {a: b}\nsecrets: [A]",
        [
            "11:5 'env' is for run steps, and 's' is a chat step",
            "12:5 'args' is for run steps, and 's' is a chat step",
            "13:5 'stdin' is for run steps, and 's' is a chat step",
            "14:5 'files' is for run steps, and 's' is a chat step",
            "15:5 'secrets' is for run steps, and 's' is a chat step",
        ],
        id="env on chat",
    ),
    pytest.param(
        "python: m:f\nrepair: 2", ["11:5 'repair' is for chat and uses steps, and 's' is a python step"], id="repair py"
    ),
    pytest.param(
        "run: x\nenv: {A-B: 1}",
        ["11:11 the name 'A-B' is not allowed [letters, digits and '_', no digit first]"],
        id="env",
    ),
    pytest.param("run: x\nenv: [A]", ["11:10 'env' should be an object (key: value lines), not a list"], id="env2"),
    pytest.param("run: x\nsecrets: A", ["11:14 'secrets' should be a list, not 'A'"], id="secrets"),
    pytest.param(
        'run: x\nsecrets: ["A B"]', ["11:15 item 1 of 'secrets' should be a plain name, not 'A B'"], id="secrets2"
    ),
    pytest.param("run: x\nargs: a b", ["11:11 'args' should be a list, not 'a b'"], id="args"),
    pytest.param(
        (
            "run: x\n"
            'files: {../x: a, /y: b, "": c, stdin: d, script.sh: e, ./stdout: f, a: 1, a/b: 2, '
            './a: 3, "${{ run.id }}": 1, c: {from: nope}, d: {from: 5}, e: {from: "${{ '
            'steps.a.output }}"}, f: {from: "a\\0"}}'
        ),
        [
            "11:13 '../x' is not a file inside the step's folder",
            "11:22 '/y' is not a file inside the step's folder",
            "11:29 '' is not a file inside the step's folder",
            "11:36 the name 'stdin' is taken ['stdin' is written there for every script]",
            "11:46 the name 'script.sh' is taken ['script.sh' is written there for every script]",
            "11:60 the name './stdout' is taken ['stdout' is written there for every script]",
            "11:79 'a/b' and another file are in each other's way",
            "11:87 './a' and another file are in each other's way",
            "11:95 '${{ run.id }}' is not a file inside the step's folder",
            "11:125 there is no file 'nope' [paths are relative to the workflow]",
            "11:142 'from' takes the name of a file",
            (
                "11:161 'steps' cannot make the name of a file [only parameters may stand here: what a "
                "model or a data file said never becomes a path]"
            ),
            "11:192 'from' takes the name of a file",
        ],
        id="files",
    ),
    pytest.param("run: x\nfiles: 5", ["11:12 'files' should be an object (key: value lines), not 5"], id="filesnum"),
    pytest.param("run: 5", ["10:10 'run' should be a text, not 5 [quote it]"], id="run num"),
    pytest.param(
        'run: |\n  echo hi\n  echo ${{ steps.a.output }} "${{ run.id }}"\n  ${% if x %}',
        [
            (
                "12:12 a script holds no expressions: what a model said must not become shell code "
                '[write \'env: {VALUE: "${{ … }}"}\' on the step and "$VALUE" in the script]'
            ),
            (
                "12:35 a script holds no expressions: what a model said must not become shell code "
                '[write \'env: {VALUE: "${{ … }}"}\' on the step and "$VALUE" in the script]'
            ),
            (
                "13:7 a script holds no expressions: what a model said must not become shell code "
                '[write \'env: {VALUE: "${{ … }}"}\' on the step and "$VALUE" in the script]'
            ),
        ],
        id="run expr",
    ),
    pytest.param(
        "python: analysis",
        ["10:13 'python' should be module:function [for instance 'python: analysis:summarise']"],
        id="python",
    ),
    pytest.param(
        "python: a-b:f",
        ["10:13 'python' should be module:function [for instance 'python: analysis:summarise']"],
        id="python2",
    ),
    pytest.param(
        "python: ${{ params.x }}",
        [
            (
                "10:13 'python' takes a plain name: what a model said never becomes the name of code "
                "[choose the step with 'if']"
            )
        ],
        id="python3",
    ),
    pytest.param(
        'uses: "${{ steps.a.output }}"',
        [
            (
                "10:12 'uses' takes a plain name: what a model said never becomes the name of code "
                "[choose the step with 'if']"
            )
        ],
        id="uses2",
    ),
    pytest.param(
        "uses: read_rows\nwith: [x]", ["11:11 'with' should be an object (key: value lines), not a list"], id="with"
    ),
    pytest.param(
        'uses: read_rows\nwith: {path: "${{ steps.aa.output }}"}',
        ["11:29 there is no step 'aa' [did you mean 'a'?]"],
        id="with2",
    ),
    pytest.param(
        'uses: read_rows\nwith: {path: x, "${{ params }}": 1}',
        [
            "11:21 the name '${{ params }}' is not allowed [letters, digits and '_', no digit first]",
            "11:21 a key cannot hold an expression [put it into a value]",
        ],
        id="with3",
    ),
    pytest.param(
        'python: m:f\nwith: {a: {"x${{ run.id }}": 1}}',
        ["11:16 a key cannot hold an expression [put it into a value]"],
        id="nested key",
    ),
    pytest.param(
        "run: x\nfiles: {b/c: 1, b: 2}",
        ["11:21 'b' and another file are in each other's way"],
        id="a file where a folder is",
    ),
]


@pytest.mark.parametrize(("text", "expected"), VERBS)
def test_step(mistakes: Mistakes, text: str, expected: list[str]) -> None:
    assert mistakes(text, step=True) == expected
