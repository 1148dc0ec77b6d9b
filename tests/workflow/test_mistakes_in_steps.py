"""Every mistake in a step, but for those about its output and its verb."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Mistakes = Callable[..., list[str]]

STEPS = [
    pytest.param(
        "needs: a", ["9:3 the step 's' has no verb [one of: chat, run, python, uses, workflow]"], id="no verb"
    ),
    pytest.param(
        "run: x\nchat: y", ["10:5 a step has one verb, and 's' has chat and run [make two steps of it]"], id="two verbs"
    ),
    pytest.param(
        "run: x\ncontinue-on-error: true",
        ["11:5 unknown key 'continue-on-error' in 's' [write 'on_error: continue']"],
        id="word of another language",
    ),
    pytest.param(
        "run: x\nforeech: [1]", ["11:5 unknown key 'foreech' in 's' [did you mean 'foreach'?]"], id="typo in a modifier"
    ),
    pytest.param(
        "chat: {usr: x}",
        [
            "10:5 a chat step asks something: 'user' or 'messages'",
            "10:12 unknown key 'usr' in 'chat' [did you mean 'user'?]",
        ],
        id="typo in chat",
    ),
    pytest.param("chat:\n  system: x", ["10:5 a chat step asks something: 'user' or 'messages'"], id="nothing asked"),
    pytest.param(
        "chat: [x]", ["10:11 'chat' should be a text or an object (key: value lines), not a list"], id="chat as list"
    ),
    pytest.param(
        "chat: 5",
        ["10:11 'chat' should be a text or an object (key: value lines), not 5 [quote it]"],
        id="chat as number",
    ),
    pytest.param(
        ("chat:\n  messages:\n    - {role: robot, content: x}\n    - {role: user}\n    - {role: user, contents: x}"),
        [
            "12:18 'role' should be system, user or assistant, not 'robot'",
            "13:11 'content' is missing [add 'content: …']",
            "14:11 'content' is missing [add 'content: …']",
            "14:24 unknown key 'contents' [did you mean 'content'?]",
        ],
        id="messages",
    ),
    pytest.param(
        "chat:\n  messages: hello",
        ["11:17 'messages' should be a list or one expression '${{ … }}', not 'hello'"],
        id="messages as text",
    ),
    pytest.param(
        "run: x\nas: p\nkey: ${{ p }}",
        ["11:5 'as' needs 'foreach' on the step", "12:5 'key' needs 'foreach', 'matrix' or 'repeat' on the step"],
        id="as no foreach",
    ),
    pytest.param("foreach: [1]\nas: len\nrun: x", ["11:9 the name 'len' is taken [choose another]"], id="as taken"),
    pytest.param("foreach: [1]\nas: [x]\nrun: x", ["11:9 'as' should be a text, not a list"], id="as list"),
    pytest.param("foreach: [1]\nas: {}\nrun: x", ["11:9 'as' should be a text, not an object"], id="as dict"),
    pytest.param("foreach: [1]\nas: a-b\nrun: x", ["11:9 'as' should be a plain name, not 'a-b'"], id="as bad"),
    pytest.param(
        "foreach: steps.a.output\nrun: x",
        [
            (
                "10:14 'foreach' should be a list, an object or an expression [for instance 'foreach: "
                "${{ steps.load.output }}']"
            )
        ],
        id="foreach text",
    ),
    pytest.param(
        "foreach: 5\nrun: x",
        [
            (
                "10:14 'foreach' should be a list, an object or an expression [for instance 'foreach: "
                "${{ steps.load.output }}']"
            )
        ],
        id="foreach num",
    ),
    pytest.param(
        "foreach: ${{ params }} and\nrun: x",
        ["10:14 'foreach' takes one expression, without text around it [write 'foreach: ${{ … }}' on one line]"],
        id="foreach mixed",
    ),
    pytest.param(
        "foreach: |\n  ${{ [1] }}\nrun: x",
        ["10:14 'foreach' takes one expression, without text around it [write 'foreach: ${{ … }}' on one line]"],
        id="foreach block",
    ),
    pytest.param(
        "foreach: [1]\nkey: x\nrun: x",
        ["11:10 'key' is the same for every item [for instance '${{ item.id }}']"],
        id="key const",
    ),
    pytest.param(
        "foreach: [1]\nkey: ${{ key }}\nrun: x",
        ["11:14 'key' is not known inside 'key' [make it from the item]"],
        id="key key",
    ),
    pytest.param("foreach: [1]\nkey: 5\nrun: x", ["11:10 'key' should be a text, not 5 [quote it]"], id="key num"),
    pytest.param(
        'foreach: [1]\nas: p\nargs: ["${{ item }}"]\nrun: x',
        ["12:17 the item is called 'p' here ['as' gives it this name]"],
        id="item as",
    ),
    pytest.param(
        'args: ["${{ item }}", "${{ key }}"]\nrun: x',
        ["10:17 'item' needs 'foreach' on the step", "10:32 'key' needs 'foreach', 'matrix' or 'repeat' on the step"],
        id="item none",
    ),
    pytest.param(
        "needs: [a, b, 5]\nrun: x",
        ["10:16 there is no step 'b' [known: a, f, s]", "10:19 item 3 of 'needs' should be a text, not 5 [quote it]"],
        id="needs",
    ),
    pytest.param("needs: b\nrun: x", ["10:12 there is no step 'b' [known: a, f, s]"], id="needs2"),
    pytest.param("needs: Bad\nrun: x", ["10:12 'needs' should be a plain name or a list, not 'Bad'"], id="needs3"),
    pytest.param(
        "if: steps.a.outputt == 1\nrun: x",
        ["10:17 a step has no 'outputt' [did you mean 'output'?]"],
        id="wrong field of a step",
    ),
    pytest.param("if: x ==\nrun: x", ["10:9 the expression cannot be read: it ends too early"], id="half a condition"),
    pytest.param(
        "if: 5\nrun: x", ["10:9 'if' should be a text or true or false, not 5 [quote it]"], id="condition as number"
    ),
    pytest.param(
        "if: yes\nrun: x",
        ["10:9 the name 'yes' is not known here [known: always, failure, params, run, steps, success]"],
        id="yes is a name",
    ),
    pytest.param(
        "if: failure\nrun: x", ["10:9 'failure' is a function [write failure()]"], id="function without parentheses"
    ),
    pytest.param(
        "if: a ${{ 1 }}\nrun: x",
        ["10:11 a condition is one expression [write it without text around it]"],
        id="text around a condition",
    ),
    pytest.param(
        'if: "itm.x > 1"\nforeach: [1]\nrun: x',
        ["10:10 the name 'itm' is not known here [did you mean 'item'?]"],
        id="unknown name in a quoted condition",
    ),
    pytest.param('args: ["${{ success() }}"]\nrun: x', ["10:17 success() is for 'if' only"], id="status"),
    pytest.param(
        "check: outpt.x\nrun: x",
        ["10:12 the name 'outpt' is not known here [did you mean 'output'?]"],
        id="unknown name in check",
    ),
    pytest.param(
        "check: output.x and item\nrun: x",
        ["10:25 'item' needs 'foreach' on the step"],
        id="item without foreach in check",
    ),
    pytest.param(
        "run: x\non_error: ignore",
        ["11:15 'on_error' should be continue or fail or an object (key: value lines), not 'ignore'"],
        id="unknown on_error",
    ),
    pytest.param(
        "run: x\non_error: {continu: true}",
        ["11:16 unknown key 'continu' in 'on_error' [did you mean 'continue'?]"],
        id="typo in on_error",
    ),
    pytest.param(
        "run: x\non_error: {continue: yes, min_success: 95}",
        [
            "11:26 'continue' should be true or false, not 'yes'",
            "11:44 'min_success' should be less than or equal to 1, not 95",
        ],
        id="wrong values in on_error",
    ),
    pytest.param(
        "run: x\ntimeout: soon",
        ["11:14 'timeout': a duration is a number of seconds or such as '20m', '1h30m', not 'soon'"],
        id="no duration",
    ),
    pytest.param("run: x\ntimeout: 0", ["11:14 'timeout': a duration is above zero, not 0"], id="zero"),
    pytest.param("run: x\ntimeout: -5", ["11:14 'timeout': a duration is above zero, not -5"], id="below zero"),
    pytest.param(
        (
            "run: x\n"
            "timeout: "
            "99999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999"
        ),
        ["11:14 'timeout': a duration is shorter than that"],
        id="beyond any number",
    ),
    pytest.param("run: x\ntimeout: [1]", ["11:14 'timeout' should be a number, not a list"], id="duration as list"),
    pytest.param(
        'run: x\ntimeout: "${{ params.t }}"',
        ["11:14 'timeout': a duration is a number of seconds or such as '20m', '1h30m', not '${{ params.t }}'"],
        id="duration as expression",
    ),
    pytest.param("chat: x\nrepair: 11", ["11:13 'repair' should be less than or equal to 10, not 11"], id="repair"),
    pytest.param(
        'chat: x\nrepair: "2"',
        ["11:13 'repair' should be a whole number, not '2' [write it without quotes]"],
        id="repair2",
    ),
    pytest.param(
        'args: ["${{ run.idd }}"]\nrun: x', ["10:21 the run has no 'idd' [write run.id]"], id="unknown field of run"
    ),
    pytest.param(
        ('args: ["${{ steps }}", "${{ steps.a }}", "${{ steps[params.x].output }}", "${{ steps.a.outptu }}"]\nrun: x'),
        [
            (
                "10:17 'steps' needs a step's name and a field [write steps.NAME.output (one "
                "instance), .outputs or .results (a fan-out)]"
            ),
            (
                "10:33 'steps' needs a step's name and a field [write steps.NAME.output (one "
                "instance), .outputs or .results (a fan-out)]"
            ),
            (
                "10:51 'steps' needs a step's name and a field [write steps.NAME.output (one "
                "instance), .outputs or .results (a fan-out)]"
            ),
            "10:92 a step has no 'outptu' [did you mean 'output'?]",
        ],
        id="bare steps",
    ),
    pytest.param(
        'args: ["${% if true %}a${% endif %}"]\nrun: x',
        ["10:13 blocks '${% … %}' are for prompts only [use an expression, or filters such as map and select]"],
        id="block outside of a prompt",
    ),
    pytest.param(
        'args: ["${{-1}}"]\nrun: x',
        ["10:13 '${{-' is about the space before it, and is no sign [write '${{ -']"],
        id="minus that is no sign",
    ),
    pytest.param(
        "args:\n  - ${{ x #1 }}\nrun: x",
        [
            (
                "11:9 the expression cannot be read: it has no end [end it with '}}'; where it is not "
                "quoted, ' #' begins a comment]"
            )
        ],
        id="expression cut by a comment",
    ),
]


@pytest.mark.parametrize(("text", "expected"), STEPS)
def test_step(mistakes: Mistakes, text: str, expected: list[str]) -> None:
    assert mistakes(text, step=True) == expected


FOREIGN = {
    "strategy: {}": "write 'matrix' on the step itself",
    "max-parallel: 2": "write 'max_parallel' on the step itself",
    "continue_on_error: true": "write 'on_error: continue'",
    "retries: 3": "write 'retry: 3'",
    "while: x": "write 'until' and 'max_rounds'",
    "scatter: []": "write 'foreach'",
    "subworkflow: x": "write 'workflow: FILE'",
    "nodes: 2": "write 'resources: {nodes: …}'",
    "mem: 2": "write 'resources: {memory: …}'",
    "cpus: 2": "write 'resources: {cores: …}'",
}


@pytest.mark.parametrize(("text", "hint"), FOREIGN.items(), ids=FOREIGN)
def test_words_of_other_languages(mistakes: Mistakes, text: str, hint: str) -> None:
    word = text.partition(":")[0]
    assert mistakes(f"run: x\n{text}", step=True) == [f"11:5 unknown key '{word}' in 's' [{hint}]"]
