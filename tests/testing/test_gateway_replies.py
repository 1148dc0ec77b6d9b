"""Rules and what is made of their replies; streams."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from metis_flow.testing import Gateway, Reply

STREAM = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "hello"}], "stream": True}


def events(raw: bytes) -> list[Any]:
    parts = [part.removeprefix("data: ") for part in raw.decode().split("\n\n") if part]
    return [part if part == "[DONE]" else json.loads(part) for part in parts]


def text_of(found: list[Any]) -> str:
    pieces = [event["choices"][0]["delta"].get("content") for event in found if isinstance(event, dict)]
    return "".join(piece or "" for piece in pieces)


def test_a_rule_sees_the_request_as_the_upstream_does(send: Any) -> None:
    seen: list[Any] = []

    def rule(body: dict[str, Any], n: int) -> str:
        seen.append((body, n))
        return "fine"

    sent = {"model": "GPT-oss-120b", "messages": [], "seed": 7, "odd": {"a": None}, "stream": None}
    with Gateway(rule) as gateway:
        assert send(gateway, body=sent).json["choices"][0]["message"] == {"role": "assistant", "content": "fine"}
        send(gateway, body=sent)
    expected = {**sent, "model": "gpt-oss-120b", "stream": False}
    assert seen == [(expected, 0), (expected, 1)]


async def later(body: dict[str, Any], n: int) -> str:
    await asyncio.sleep(0)
    return "later"


@pytest.mark.parametrize(
    ("rule", "content"),
    [
        (lambda body, n: {"gap": 1.1}, '{"gap": 1.1}'),
        (lambda body, n: ["a"], '["a"]'),
        (lambda body, n: Reply("as it is"), "as it is"),
        (later, "later"),
    ],
)
def test_what_a_rule_may_return(send: Any, rule: Any, content: str) -> None:
    with Gateway(rule) as gateway:
        assert send(gateway).json["choices"][0]["message"]["content"] == content


def test_a_whole_document_goes_through(send: Any) -> None:
    document = {"choices": [], "usage": {"total_tokens": 9}, "own": [1]}
    with Gateway(lambda body, n: document) as gateway:
        assert send(gateway).json == document
        assert gateway.counts.tokens == 9


def test_the_default_answer_depends_on_the_request_alone(send: Any) -> None:
    with Gateway() as gateway:
        first, second = send(gateway).json, send(gateway).json
    assert first["choices"] == second["choices"]
    assert first["choices"][0]["message"]["content"] == "You said: hello"
    assert first["usage"] == second["usage"] == {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


def test_a_rule_that_raises_is_raised_at_the_end(send: Any) -> None:
    def rule(body: dict[str, Any], n: int) -> str:
        raise KeyError("mine")

    def use() -> None:
        with Gateway(rule) as gateway:
            assert send(gateway).code == "internal_error"
            assert gateway.counts.kinds == {"rule_error": 1}

    with pytest.raises(KeyError, match="mine"):
        use()


def test_a_rule_that_returns_something_else_is_told(send: Any) -> None:
    gateway = Gateway(lambda body, n: 7)
    with pytest.raises(TypeError, match="a rule returns a str, dict, list or Reply, not int"), gateway:
        assert send(gateway).status == 500


def test_a_stream(send: Any) -> None:
    with Gateway(lambda body, n: Reply("one two three", reasoning="hm")) as gateway:
        got = send(gateway, body=STREAM)
        assert got.headers["Content-Type"] == "text/event-stream"
        assert got.headers["Cache-Control"] == "no-cache"
        found = events(got.raw)
        assert found[-1] == "[DONE]"
        assert found[-2]["choices"][0]["finish_reason"] == "stop"
        assert text_of(found) == "one two three"
        assert "".join(e["choices"][0]["delta"].get("reasoning_content", "") for e in found[:-1]) == "hm"
        with_usage = events(send(gateway, body={**STREAM, "stream_options": {"include_usage": True}}).raw)
        assert (with_usage[-2]["choices"], with_usage[-2]["usage"]["prompt_tokens"]) == ([], 9)
        assert gateway.counts.kinds == {"stream": 2}
        assert gateway.counts.answered == 2


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (
            "refused",
            "Error: HTTP error calling stream API at https://sn40l.invalid/v1/chat/completions: All",
        ),
        (
            "upstream_500",
            "Error: Unexpected error calling stream API: Error: Could not send stream API call to http",
        ),
        ("504", "Error: Timeout calling stream API at https://sn40l.invalid/v1/chat/completions (timeout: 120)"),
        ("dropped", "Error: HTTP error calling stream API at https://sn40l.invalid/v1/chat/completions: peer closed"),
        ("stalled", "Error: Timeout calling stream API at https://"),
    ],
)
def test_a_stream_fails_as_text(send: Any, fault: str, text: str) -> None:
    with Gateway(lambda body, n: Reply("one two three", fault=fault), speed=2000) as gateway:
        got = send(gateway, body=STREAM)
        found = events(got.raw)
        assert (got.status, found[-1], found[-2]["id"]) == (200, "[DONE]", "chatcmpl-api-error")
        choice = found[-2]["choices"][0]
        assert (choice["finish_reason"], choice["delta"]["role"]) == ("stop", "assistant")
        assert choice["delta"]["content"].startswith(f"\n\n[ERROR] {text}")
        assert (len(found) > 2) == (fault in ("dropped", "stalled"))
        assert gateway.counts.answered == 0


def test_a_stream_that_just_ends(send: Any) -> None:
    with Gateway(lambda body, n: Reply("one two three", fault="no_done")) as gateway:
        found = events(send(gateway, body=STREAM).raw)
        assert "[DONE]" not in found
        assert {event["choices"][0]["finish_reason"] for event in found} == {None}


def test_a_stream_with_an_error_in_it(send: Any) -> None:
    with Gateway(lambda body, n: Reply("one two three", fault="sse_error")) as gateway:
        found = events(send(gateway, body=STREAM).raw)
        assert found[-2]["error"]["code"] == 500
        assert send(gateway).code == "internal_endpoint_error"


def test_a_refusal_of_the_gateway_is_no_stream(send: Any) -> None:
    with Gateway() as gateway:
        gateway.set_status("gpt-oss-120b", "Stopped", at_once=True)
        assert send(gateway, body=STREAM).status == 503


def test_answers_run_side_by_side(send: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with Gateway(latency=0.2, limits=None) as gateway, ThreadPoolExecutor(5) as pool:
        assert [got.status for got in pool.map(lambda _: send(gateway), range(5))] == [200] * 5
        assert gateway.counts.high_water > 1
        assert gateway.counts.in_flight == 0
        gateway.set_latency(0)
        assert send(gateway).status == 200
