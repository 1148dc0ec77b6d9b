"""``until``, and conversations that go on: which names are known where, what messages become, and mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from metis_flow.engine.scope import Result, round_scope, step_view
from metis_flow.errors import ExpressionFailed
from metis_flow.plan.items import ONLY, Item
from metis_flow.plan.plan import make_plan
from metis_flow.workflow.conversation import ExamplesMistake, read_examples
from metis_flow.workflow.definition import ChatDef, ShellDef, WorkflowDef
from metis_flow.workflow.expressions import StepRef

Load = Callable[..., WorkflowDef]
Mistakes = Callable[..., list[str]]

# Beside the steps of the kit: c, a chat, and d, a chat for each of two items.
CHATS = "version: 1\nname: w\nsteps:\n  c: {chat: hi}\n  d: {foreach: [1, 2], chat: hi}\n  a: {run: echo}\n  s:\n"


def test_until(load: Load) -> None:
    text = "until: output.score >= 8 or steps.a.output\nmax_rounds: 4\nrun: x\nenv: {N: '${{ round }}'}"
    step = load(text, step=True).steps["s"]
    assert step.max_rounds == 4
    assert step.until is not None
    assert step.until.names == {"output", "steps"}
    assert step.refs == {StepRef("a", "output")}
    body = step.body
    assert isinstance(body, ShellDef)
    assert body.env["N"].evaluate(round_scope({}, 2, "before")) == 2
    plain = load("run: x", step=True).steps["s"]
    assert (plain.until, plain.max_rounds) == (None, 1)


KNOWN = [
    "chat: '${{ previous or round }}'\nuntil: output == previous\nmax_rounds: 2",
    "chat: hi\nuntil: ${{ round > 1 }}\nmax_rounds: 2\ncheck: round >= 0 and output != previous",
    "run: x\nargs: ['${{ round }}']\nstdin: ${{ previous }}\nuntil: 'true'\nmax_rounds: 2",
    "run: x\nenv: {A: '${{ round }}'}\nfiles: {a: '${{ previous }}'}\nuntil: true\nmax_rounds: 2",
    "python: m:f\nwith: {x: '${{ previous }}'}\nuntil: output\nmax_rounds: 2\nforeach: [1]",
    "run: x\nuntil: false\nmax_rounds: 2",
]


@pytest.mark.parametrize("text", KNOWN)
def test_names_that_the_rounds_know(mistakes: Mistakes, text: str) -> None:
    assert mistakes(text, step=True) == []


NOT_KNOWN = "[a step with 'until' has it in what it does, in 'check' and in 'until']"
MISTAKES = [
    ("run: x\nuntil: output", ["11:5 'until' needs 'max_rounds' on the step [for instance 'max_rounds: 5']"]),
    ("run: x\nmax_rounds: 3", ["11:5 'max_rounds' needs 'until' on the step"]),
    ("run: x\nuntil: output\nmax_rounds: 0", ["12:17 'max_rounds' should be greater than 0, not 0"]),
    ("run: x\nuntil: output ==\nmax_rounds: 2", ["11:12 the expression cannot be read: it ends too early"]),
    (
        "run: x\nuntil: outptu\nmax_rounds: 2",
        ["11:12 the name 'outptu' is not known here [did you mean 'output'?]"],
    ),
    ("run: x\nuntil: success()\nmax_rounds: 2", ["11:12 success() is for 'if' only"]),
    ("run: x\nargs: ['${{ round }}']", [f"11:17 'round' is not known here {NOT_KNOWN}"]),
    ("run: x\nuntil: output\nmax_rounds: 2\nif: previous", [f"13:9 'previous' is not known here {NOT_KNOWN}"]),
    (
        "foreach: [1]\nas: round\nrun: x",
        ["11:9 the name 'round' is taken [choose another]"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=[text[:60] for text, _ in MISTAKES])
def test_mistakes(mistakes: Mistakes, text: str, expected: list[str]) -> None:
    assert mistakes(text, step=True) == expected


# -- conversations

TALK = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
EXAMPLES = '{"user": "1+1", "assistant": "2"}\n\n{"role": "user", "content": "${{ as it is }}"}\n'


def chat(load: Load, text: str, files: dict[str, str] | None = None) -> ChatDef:
    body = load(CHATS + text, files).steps["s"].body
    assert isinstance(body, ChatDef)
    return body


def test_an_earlier_conversation_goes_on(load: Load) -> None:
    body = chat(load, "    chat: {messages: ['${{ steps.c.messages }}'], user: 'Now ${{ steps.a.output }}.'}\n")
    scope = {"steps": {"c": {"messages": TALK}, "a": {"output": "B"}}}
    assert body.conversation(scope) == [("system", "S"), ("user", "Q"), ("assistant", "A"), ("user", "Now B.")]


def test_it_may_be_the_whole_list_and_the_own_system_message_wins(load: Load) -> None:
    body = chat(load, "    chat: {system: T, messages: '${{ steps.c.messages }}', user: N}\n")
    assert body.conversation({"steps": {"c": {"messages": TALK}}}) == [
        ("system", "T"),
        ("user", "Q"),
        ("assistant", "A"),
        ("user", "N"),
    ]


@pytest.mark.parametrize(
    ("value", "summary"),
    [
        ("hi", "a conversation is a list of messages, not a text"),
        (None, "a conversation is a list of messages, not null"),
        (
            [{"role": "robot", "content": "x"}],
            "a message of a conversation is {role, content}, with the role system, user or assistant",
        ),
        (["x"], "a message of a conversation is {role, content}, with the role system, user or assistant"),
    ],
)
def test_what_is_no_conversation(load: Load, value: Any, summary: str) -> None:
    body = chat(load, "    chat: {messages: ['${{ steps.a.output }}'], user: N}\n")
    with pytest.raises(ExpressionFailed) as caught:
        body.conversation({"steps": {"a": {"output": value}}})
    assert (caught.value.summary, caught.value.hint) == (summary, "for instance '${{ steps.draft.messages }}'")


def test_examples_from_a_file_stand_where_they_are_named(load: Load) -> None:
    text = "    chat: {system: S, messages: [{from: e.jsonl}, {role: user, content: x}], user: N}\n"
    workflow = load(CHATS + text, {"e.jsonl": EXAMPLES})
    assert workflow.included == {"e.jsonl": EXAMPLES}
    assert chat(load, text, {"e.jsonl": EXAMPLES}).conversation({}) == [
        ("system", "S"),
        ("user", "1+1"),
        ("assistant", "2"),
        ("user", "${{ as it is }}"),
        ("user", "x"),
        ("user", "N"),
    ]


def test_forms_of_examples() -> None:
    pairs = [("user", "a"), ("assistant", "b")]
    assert read_examples(json.dumps([{"user": "a", "assistant": "b"}])) == pairs
    assert read_examples(json.dumps({"messages": [{"role": role, "content": text} for role, text in pairs]})) == pairs
    assert read_examples('{"user": "a\u2028", "assistant": "b"}\r\n') == [("user", "a\u2028"), ("assistant", "b")]


BAD_EXAMPLES = [
    ("", "it is empty", 0),
    ("not json", "it is not JSON", 1),
    (
        '{"user": "a", "assistant": "b"}\n{"user": "a"}',
        "it should be {role, content}, {user, assistant} or {messages: […]}",
        2,
    ),
    ('{"role": "robot", "content": "b"}', "a role is system, user, assistant, and a content a text", 1),
    ('{"role": "user", "content": 5}', "a role is system, user, assistant, and a content a text", 1),
    ('{"messages": [{"messages": []}]}', "'messages' stands inside 'messages'", 1),
    ("[1]", "it should be {role, content}, {user, assistant} or {messages: […]}", 0),
    ("[" * 100_000, "it is not JSON", 0),
    (
        '{"role": "user", "content": "x"}\n' * 1001,
        "it holds more than 1,000 messages, and all of them go into each call",
        0,
    ),
]


@pytest.mark.parametrize(("text", "summary", "line"), BAD_EXAMPLES, ids=[text[:30] for text, _, _ in BAD_EXAMPLES])
def test_bad_examples(text: str, summary: str, line: int) -> None:
    with pytest.raises(ExamplesMistake) as caught:
        read_examples(text)
    assert caught.value.summary.startswith(summary)
    assert caught.value.line == line


TALKS: list[tuple[str, dict[str, str], list[str]]] = [
    ("chat: {messages: ['${{ steps.a.messages }}'], user: x}", {}, ["8:36 'a' is a run step, and has no messages"]),
    (
        "chat: {messages: ['${{ steps.d.messages }}'], user: x}",
        {},
        ["8:36 'd' has a conversation for each item [each row of steps.d.results has messages]"],
    ),
    (
        "chat: {messages: ['${{ steps.c.mesages }}'], user: x}",
        {},
        ["8:36 a step has no 'mesages' [did you mean 'messages'?]"],
    ),
    (
        "chat: {messages: [hello], user: x}",
        {},
        ["8:23 item 1 of 'messages' should be one expression '${{ … }}', not 'hello'"],
    ),
    (
        "chat: {messages: ['${{ params }} ${{ params }}'], user: x}",
        {},
        ["8:23 'messages' takes one expression, without text around it"],
    ),
    ("chat: {messages: [5], user: x}", {}, ["8:23 item 1 of 'messages' should be an object (key: value lines), not 5"]),
    (
        "chat: {messages: [{from: none.jsonl}], user: x}",
        {},
        ["8:30 the file 'none.jsonl' cannot be read: No such file or directory [paths are relative to the workflow]"],
    ),
    (
        "chat: {messages: [{from: e.jsonl}], user: x}",
        {"e.jsonl": '{"user": "a", "assistant": "b"}\n{'},
        ["e.jsonl:2:1 it is not JSON"],
    ),
    (
        "chat: {messages: [{from: e.jsonl}], user: x}",
        {"e.jsonl": "\n"},
        ["8:30 the examples in 'e.jsonl': it is empty"],
    ),
    (
        "chat: {messages: [{from: e.jsonl, rol: user}], user: x}",
        {"e.jsonl": EXAMPLES},
        ["8:39 unknown key 'rol' [known: from]"],
    ),
    ("chat: {messages: [{role: assistant, content: x}]}", {}, ["8:5 a chat step asks something: 'user' or 'messages'"]),
]


@pytest.mark.parametrize(("text", "files", "expected"), TALKS, ids=[text[:60] for text, _, _ in TALKS])
def test_mistakes_in_conversations(mistakes: Mistakes, text: str, files: dict[str, str], expected: list[str]) -> None:
    assert mistakes(f"{CHATS}    {text}\n", files) == expected


def test_the_plan_knows_whose_conversations_are_read(load: Load) -> None:
    def kept(text: str) -> frozenset[str]:
        return make_plan(load(CHATS + text)).conversations

    assert kept("    chat: x\n") == frozenset()
    assert kept("    chat: {messages: '${{ steps.c.messages }}', user: x}\n") == {"c"}
    followed = "    foreach: ${{ steps.d.results }}\n    chat: {messages: '${{ item.messages }}', user: x}\n"
    assert kept(followed) == {"d"}
    assert kept("    foreach: ${{ steps.d.results }}\n    chat: x\n") == frozenset()
    assert kept("    run: x\noutputs: {c: '${{ steps.c.messages }}'}\n") == {"c"}


def test_messages_of_results_are_there_for_those_who_ask(load: Load) -> None:
    workflow = load(CHATS + "    args: ['${{ steps.d.results }}', '${{ steps.d.results[0].messages }}']\n    run: x\n")
    results = [Result(Item(0, "0", 1), "done", "A", messages=TALK), Result(Item(1, "1", 2), "failed")]
    scope = {"steps": {"d": step_view(workflow.steps["d"], "done", results, None)}}
    body = workflow.steps["s"].body
    assert isinstance(body, ShellDef)
    rows, messages = (value.evaluate(scope) for value in body.args)
    assert rows[0] == {"key": "0", "status": "done", "output": "A", "error": None}
    assert messages == TALK
    single = step_view(workflow.steps["c"], "done", [Result(ONLY, "done", "A", messages=TALK)], None)
    assert single["messages"] == TALK
    assert "messages" not in step_view(workflow.steps["c"], "done", [Result(ONLY, "done", "A")], None)


@pytest.mark.parametrize(
    "verb", ["chat: hi", "run: x", "python: m:f", "uses: count\nwith: {values: []}", "workflow: child.yaml"]
)
def test_check_and_until_read_the_output_of_every_verb(load: Load, verb: str) -> None:
    child = {"child.yaml": "version: 1\nname: c\nsteps: {a: {run: echo}}\n"}
    step = load(f"{verb}\ncheck: output != ''\nuntil: output\nmax_rounds: 2", child, step=True).steps["s"]
    assert step.check is not None
    assert step.until is not None
    assert step.check.evaluate({"output": "x"}) is True
