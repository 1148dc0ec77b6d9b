"""Structured answers: asked for, parsed, validated, repaired."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from inference_kit import Reply, completion, opened, serving

from metis_flow.errors import OutputInvalid
from metis_flow.inference.answers import ChatRequest
from metis_flow.inference.json_answers import CACHED_VALIDATORS, NotOneValue, parse_value, schema_error, validator
from metis_flow.inference.structured import Ask, Exchange, ask

SCHEMA = {
    "type": "object",
    "properties": {"gap": {"type": "number", "exclusiveMinimum": 0}, "note": {"type": "string"}},
    "required": ["gap"],
    "additionalProperties": False,
}
MESSAGES = [{"role": "system", "content": "You extract facts."}, {"role": "user", "content": "Si?"}]
REFUSAL = Reply({"error": {"code": 400, "message": "response_format is not supported"}}, status=400)


class Asked:
    """What a run of `ask` left behind."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.kept: list[Exchange] = []
        self.notes: list[dict[str, Any]] = []
        self.result: Exchange | None = None
        self.error: OutputInvalid | None = None


def go(handler: Callable[[Any, int], Reply], wanted: Ask, times: int = 1, **supports: Any) -> Asked:
    asked = Asked()

    async def main() -> None:
        async with (
            serving(handler) as server,
            opened(server.endpoint(supports=supports), on_note=asked.notes.append) as inference,
        ):

            async def keep(exchange: Exchange) -> None:
                assert inference.snapshot().in_flight >= 1
                asked.kept.append(exchange)

            asked.bodies = server.bodies
            results = await asyncio.gather(
                *(ask(inference, wanted, keep) for _ in range(times)), return_exceptions=True
            )
            for result in results:
                if isinstance(result, OutputInvalid):
                    asked.error = result
                elif isinstance(result, BaseException):
                    raise result
                else:
                    asked.result = result

    asyncio.run(main())
    return asked


def wanted(**more: Any) -> Ask:
    return Ask(ChatRequest("m", MESSAGES, {"seed": 1}), schema=SCHEMA, **more)


def test_text_is_returned_as_it_is() -> None:
    asked = go(lambda body, n: completion(" 1.1 eV "), Ask(ChatRequest("m", MESSAGES)))
    assert asked.result is not None
    assert (asked.result.output, asked.result.problem, asked.result.n) == (" 1.1 eV ", None, 0)
    assert asked.kept == [asked.result]
    assert "response_format" not in asked.bodies[0]


def test_where_it_is_honoured_the_schema_goes_into_response_format() -> None:
    asked = go(lambda body, n: completion('{"gap": 1.1}'), wanted(), times=5)
    assert asked.result is not None
    assert asked.result.output == {"gap": 1.1}
    assert len(asked.bodies) == 5
    for body in asked.bodies:
        assert body["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        }
        assert body["messages"] == MESSAGES
        assert body["seed"] == 1
    assert asked.notes == [{"kind": "response_format", "model": "m", "honoured": True}]


@pytest.mark.parametrize("first", [REFUSAL, completion("It is 1.1 eV."), completion('{"band_gap": 1.1}')])
def test_a_refusal_or_no_notice_falls_back_to_the_prompt_once_for_all(first: Reply) -> None:
    def handler(body: Any, n: int) -> Reply:
        return first if "response_format" in body else completion('```json\n{"gap": 1.1}\n```')

    asked = go(handler, wanted(), times=5)
    assert asked.error is None
    assert len(asked.bodies) == 6, "one probe, for all five"
    assert ["response_format" in body for body in asked.bodies] == [True] + [False] * 5
    system = asked.bodies[1]["messages"][0]
    assert system["role"] == "system"
    assert system["content"].startswith("You extract facts.\n\nAnswer with one JSON value and nothing else")
    assert '"exclusiveMinimum": 0' in system["content"]
    assert asked.bodies[1]["messages"][1:] == MESSAGES[1:]
    (note,) = asked.notes
    assert note["honoured"] is False
    assert note["reason"]
    assert asked.result is not None
    assert asked.result.output == {"gap": 1.1}


def test_a_bound_that_the_server_does_not_enforce_is_repaired() -> None:
    replies = [completion('{"gap": 0}'), completion('{"gap": 1.1}')]
    asked = go(lambda body, n: replies[n], wanted(repair=1))
    assert [exchange.problem for exchange in asked.kept] == [
        "at 'gap': 0 is less than or equal to the minimum of 0",
        None,
    ]
    assert [exchange.n for exchange in asked.kept] == [0, 1]
    assert asked.notes[0]["honoured"] is True
    assert asked.bodies[1]["messages"][2:] == [
        {"role": "assistant", "content": '{"gap": 0}'},
        {
            "role": "user",
            "content": "That answer is wrong: at 'gap': 0 is less than or equal to the minimum of 0. "
            "Give the whole corrected JSON value and nothing else.",
        },
    ]
    assert "response_format" in asked.bodies[1]


def test_a_server_that_has_it_or_not_is_not_probed() -> None:
    answer = completion('{"gap": 1.1}')
    assert "response_format" in go(lambda body, n: answer, wanted(), response_format="yes").bodies[0]
    asked = go(lambda body, n: answer, wanted(), response_format="no")
    assert "response_format" not in asked.bodies[0]
    assert asked.notes == []


def test_without_a_system_text_one_is_added() -> None:
    asked = go(
        lambda body, n: completion('{"gap": 2}'),
        Ask(ChatRequest("m", MESSAGES[1:]), schema=SCHEMA),
        response_format="no",
    )
    assert [message["role"] for message in asked.bodies[0]["messages"]] == ["system", "user"]
    assert asked.bodies[0]["messages"][1] == MESSAGES[1]


def test_a_false_check_is_repaired_like_a_wrong_form() -> None:
    replies = [completion('{"gap": 30}'), completion('{"gap": 3}')]
    checked = wanted(repair=2, check=lambda output: "gap is above 20" if output["gap"] > 20 else None)
    asked = go(lambda body, n: replies[n], checked, response_format="no")
    assert [exchange.problem for exchange in asked.kept] == ["gap is above 20", None]
    assert asked.kept[0].output is None
    text = Ask(ChatRequest("m", MESSAGES), check=lambda output: "too short" if len(output) < 5 else None, repair=1)
    asked = go(lambda body, n: completion("abc" * (n + 1)), text)
    assert asked.bodies[1]["messages"][-1]["content"] == (
        "That answer is wrong: too short. Give the whole corrected answer."
    )


def test_used_up_repairs_are_a_failure_with_the_last_problem() -> None:
    asked = go(lambda body, n: completion("no idea"), wanted(repair=2), response_format="no")
    assert len(asked.bodies) == len(asked.kept) == 3
    assert asked.error is not None
    assert asked.error.summary == (
        "the answer is not what 'output' or 'check' asks for after 2 repairs: the answer is not JSON"
    )
    assert asked.error.detail == "the answer begins: no idea"


def test_a_probe_that_fails_for_another_reason_leaves_the_question_open() -> None:
    def handler(body: Any, n: int) -> Reply:
        return completion("cut", finish="length") if n == 0 else completion('{"gap": 1}')

    async def main() -> None:
        async with serving(handler) as server, opened(server.endpoint()) as inference:

            async def keep(exchange: Exchange) -> None:
                pass

            results = await asyncio.gather(*(ask(inference, wanted(), keep) for _ in range(4)), return_exceptions=True)
            assert sum(isinstance(result, Exchange) for result in results) == 3
            assert inference.formats == {"m": True}

    asyncio.run(main())


VALUES = [
    ('{"a": 1}', {"a": 1}),
    (" [1, 2]\n", [1, 2]),
    ('"text"', "text"),
    ("3.5", 3.5),
    ("null", None),
    ('```json\n{"a": 1}\n```', {"a": 1}),
    ("Here:\n```\n[1]\n```\nDone.", [1]),
    ('Sure! {"a": {"b": [1]}} Hope this helps.', {"a": {"b": [1]}}),
    ('The set {x} gives {"a": 1}', {"a": 1}),
    ('{"a": "```"}', {"a": "```"}),
    ('{"a": "${{ params }} {{ 7*7 }}"}', {"a": "${{ params }} {{ 7*7 }}"}),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_the_value_of_an_answer(text: str, value: Any) -> None:
    assert parse_value(text) == value


NO_VALUES = [
    ("It is iron.", "the answer is not JSON"),
    ("", "the answer is not JSON"),
    ('{"a": 1} or {"a": 2}', "more than one JSON value"),
    ('```\n{"a": 1}\n```\n```\n{"a": 2}\n```', "more than one JSON value"),
    ('{"a": NaN}', "NaN is not JSON"),
    ('{"a": Infinity}', "Infinity is not JSON"),
    ('{"a": 1e999}', "the number 1e999 is too large"),
    ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
    ('so {"a": 1, "a": 2}', "the key 'a' stands twice"),
    ('{"a": 1', "the answer is not JSON"),
    ("[" * 100_000, "nested too deeply|not JSON"),
    ("1" * 5000, "the answer is not JSON"),
]


@pytest.mark.parametrize(("text", "problem"), NO_VALUES)
def test_what_is_not_one_value(text: str, problem: str) -> None:
    with pytest.raises(NotOneValue, match=problem):
        parse_value(text)


def test_a_validator_is_made_once_and_asks_no_network() -> None:
    schema = {"type": "object"}
    made = validator(schema)
    assert validator(schema) is made
    assert validator(dict(schema)) is not made
    kept = [{"maximum": n} for n in range(CACHED_VALIDATORS)]
    assert [schema_error(n + 1, one) is not None for n, one in enumerate(kept)] == [True] * len(kept)
    assert validator(schema) is not made, "only so many are kept"
    with pytest.raises(Exception, match="Unresolvable"):
        schema_error(1, {"$ref": "https://example.org/schema.json"})
