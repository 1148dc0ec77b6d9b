"""One call: what is sent, and what counts as an answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from inference_kit import HastyClock, Reply, completion, get, opened, serving

from metis_flow.inference import errors
from metis_flow.inference.answers import Answer, ChatRequest, Usage, split_reasoning


def ask(reply: Reply, text: str = "hello", **settings: Any) -> Answer:
    async def run() -> Answer:
        async with (
            serving(lambda body, n: reply) as server,
            opened(server.endpoint(), clock=HastyClock()) as inference,
        ):
            return await get(inference, text, **settings)

    return asyncio.run(run())


def test_what_is_sent_and_what_comes_back() -> None:
    async def run() -> None:
        async with (
            serving(lambda body, n: completion("forty-two", tokens=30)) as server,
            opened(server.endpoint()) as inference,
        ):
            request = ChatRequest("m", [{"role": "user", "content": "é \ud83d"}], {"seed": 1, "top_k": 4})
            kept: list[tuple[Answer, int]] = []

            async def settle(answer: Answer) -> str:
                kept.append((answer, inference.snapshot().in_flight))
                return "settled"

            assert await inference.call(request, settle) == "settled"
            (answer, in_flight), *_ = kept
            assert in_flight == 1, "the place is held until the answer is settled"
            assert inference.snapshot().in_flight == 0
            assert server.paths == ["/v1/chat/completions"]
            assert server.bodies == [
                {"model": "m", "messages": [{"role": "user", "content": "é \ud83d"}], "seed": 1, "top_k": 4}
            ]
            assert server.tokens == [None], "an endpoint without auth gets no token"
            assert answer.text == "forty-two"
            assert answer.usage == Usage(4, 26, 30)
            assert (answer.model, answer.finish_reason, answer.reasoning) == ("served", "stop", None)
            assert answer.seconds > 0

    asyncio.run(run())


def test_what_openai_takes_from_the_environment_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: abc\nAuthorization: Bearer other")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin-1")
    monkeypatch.setenv("MY_KEY", "tok-mine")

    async def run() -> dict[str, str]:
        async with (
            serving(lambda body, n: completion()) as server,
            opened(server.endpoint(auth={"kind": "env", "variable": "MY_KEY"})) as inference,
        ):
            await get(inference)
            return server.headers[0]

    headers = asyncio.run(run())
    assert headers["Authorization"] == "Bearer tok-mine"
    sent = json.dumps(headers)
    assert not any(word in sent for word in ("abc", "org-1", "proj-1", "admin-1", "other"))


REASONING = [
    ("<think>two and two</think>\n\n4", {}, "two and two", "4"),
    ("two and two\n</think>\n4", {}, "two and two", "4"),
    ("4", {"reasoning_content": "two and two"}, "two and two", "4"),
    ("4", {"reasoning": "two and two"}, "two and two", "4"),
    ("<think>\n\n</think>\n\n4", {}, None, "4"),
    ("the tag <think>x</think> inside", {}, None, "the tag <think>x</think> inside"),
]


@pytest.mark.parametrize(("content", "message", "reasoning", "text"), REASONING)
def test_reasoning_is_kept_apart(content: str, message: dict[str, str], reasoning: str | None, text: str) -> None:
    answer = ask(completion(content, **message))
    assert (answer.reasoning, answer.text) == (reasoning, text)


def test_thinking_that_never_ends_is_no_answer() -> None:
    assert split_reasoning("<think>hm, hm") == ("hm, hm", "")


BAD = [
    (Reply("<html>oops</html>", content_type="text/html"), errors.NotJson, "not the JSON that was asked for", 5),
    (Reply([1]), errors.NotJson, "not the JSON that was asked for", 5),
    (Reply({"choices": []}), errors.NoChoices, "the answer holds no choice", 4),
    (completion(None), errors.NoContent, "the model gave no answer text", 4),
    (completion("  \n"), errors.NoContent, "the model gave no answer text", 4),
    (completion(None, reasoning_content="so…"), errors.NoContent, "the model gave no answer text", 4),
    (completion("<think>so…</think>"), errors.NoContent, "the model gave no answer text", 4),
    (completion(None, finish="tool_calls"), errors.NoContent, "called a function instead of answering", 4),
    (completion("<|channel|>commentary"), errors.LeakedMarkup, "the model's own channel markup", 4),
    (completion("The melting", finish="length"), errors.LengthStop, "the answer was cut short after 6 tokens", 1),
    (completion("", finish="content_filter"), errors.Filtered, "content filter held the answer back", 1),
]


@pytest.mark.parametrize(("reply", "kind", "summary", "asked"), BAD)
def test_a_200_that_is_no_answer(reply: Reply, kind: type[errors.BadAnswer], summary: str, asked: int) -> None:
    async def run() -> None:
        async with (
            serving(lambda body, n: reply) as server,
            opened(server.endpoint(), clock=HastyClock()) as inference,
        ):
            with pytest.raises(kind) as caught:
                await get(inference)
            assert type(caught.value) is kind
            assert summary in caught.value.summary
            assert len(server.bodies) == asked
            assert sum(inference.snapshot().retries.values()) == asked - 1

    asyncio.run(run())


def test_what_was_paid_for_is_carried_by_the_error() -> None:
    with pytest.raises(errors.LengthStop) as caught:
        ask(completion("The melting", finish="length", tokens=12))
    assert caught.value.answer is not None
    assert caught.value.answer.usage.total_tokens == 12
    assert caught.value.hint == "raise max_tokens, or ask for a shorter answer"
    assert caught.value.detail == "the answer ends: …The melting"


def test_markup_that_the_prompt_asks_about_is_an_answer() -> None:
    assert ask(completion("It is <|channel|>."), text="Which tag is it, <|channel|> or <|x|>?").text


def test_a_passing_failure_is_not_seen() -> None:
    replies = [completion(None), Reply("?"), Reply({}), completion("there")]

    async def run() -> Answer:
        async with (
            serving(lambda body, n: replies[n]) as server,
            opened(server.endpoint(), clock=HastyClock()) as inference,
        ):
            answer = await get(inference)
            assert inference.snapshot().retries == {"no_content": 1, "not_json": 1, "no_choices": 1}
            return answer

    assert asyncio.run(run()).text == "there"


def stream(*chunks: Any, done: bool = True) -> Reply:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + (["data: [DONE]\n\n"] if done else [])
    return Reply("".join(lines), content_type="text/event-stream")


def chunk(content: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "c1",
        "model": "up",
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}],
    } | more


def test_a_stream_is_pieced_together() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    answer = ask(stream(chunk("one "), chunk("two", "stop"), chunk("", usage=usage, choices=[])), stream=True)
    assert (answer.text, answer.usage.total_tokens, answer.model) == ("one two", 3, "up")


STREAMS = [
    (stream(chunk("one "), chunk("two "), done=False), errors.CutStream, "the stream ended before the answer did"),
    (
        stream(chunk("\n\n[ERROR] Error: HTTP error", "stop", id="chatcmpl-api-error")),
        errors.ErrorAsAnswer,
        "the gateway sent an error in the middle of a stream",
    ),
    (
        stream(chunk("one "), {"error": {"message": "simulated mid-stream", "code": 500}}),
        errors.ErrorAsAnswer,
        "the gateway sent an error in the middle of a stream",
    ),
]


@pytest.mark.parametrize(("reply", "kind", "summary"), STREAMS)
def test_a_stream_that_fails_is_no_answer(reply: Reply, kind: type[Exception], summary: str) -> None:
    with pytest.raises(kind, match=summary):
        ask(reply, stream=True)


def test_an_error_that_comes_as_a_whole_answer() -> None:
    reply = completion("\n\n[ERROR] Error: x")
    reply.document["id"] = "chatcmpl-api-error"
    with pytest.raises(errors.ErrorAsAnswer) as caught:
        ask(reply)
    assert caught.value.summary == "the gateway sent an error as if it were the answer"
    assert caught.value.detail == "[ERROR] Error: x"


def test_what_is_not_json_is_not_sent() -> None:
    with pytest.raises(errors.InvalidRequest, match="the request is not JSON"):
        ask(completion(), temperature=float("nan"))
