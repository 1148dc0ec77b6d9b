"""Clients which are not ours: the openai package and curl."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator

import openai
import pytest

from metis_flow.testing import Gateway, Reply


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(lambda body, n: Reply("forty-two", reasoning="sixes"), limits=None) as found:
        yield found


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.openai_url, api_key=gateway.token, max_retries=0) as found:
        yield found


ASK = [{"role": "user", "content": "six times seven?"}]


def test_openai_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-oss-120b", messages=ASK)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "forty-two"
    assert answer.choices[0].message.model_extra == {"reasoning_content": "sixes"}
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_openai_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.create(model="gpt-oss-120b", messages=ASK, stream=True) as stream:  # type: ignore[call-overload]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == "forty-two"


def test_openai_takes_a_failed_stream_for_an_answer(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.fail_next("refused")
    with client.chat.completions.create(model="gpt-oss-120b", messages=ASK, stream=True) as stream:  # type: ignore[call-overload]
        chunks = list(stream)
    assert chunks[0].id == "chatcmpl-api-error"
    assert chunks[0].choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("401_inactive", openai.AuthenticationError, "unauthorized"),
        ("429_tokens", openai.RateLimitError, "too_many_requests"),
        ("429_requests", openai.RateLimitError, None),
        ("503_not_live", openai.InternalServerError, "internal_endpoint_error"),
        ("502", openai.InternalServerError, None),
    ],
)
def test_openai_errors(
    gateway: Gateway, client: openai.OpenAI, fault: str, error: type[openai.APIStatusError], code: str | None
) -> None:
    gateway.fail_next(fault)
    with pytest.raises(error) as raised:
        client.chat.completions.create(model="gpt-oss-120b", messages=ASK)  # type: ignore[arg-type]
    assert raised.value.code == code


def test_openai_sees_a_cut_connection(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.fail_next("cut")
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="gpt-oss-120b", messages=ASK)  # type: ignore[arg-type]


def test_openai_lists_no_models(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.models.list()


def curl(*arguments: str, body: str | None = None) -> tuple[int, str]:
    command = ["curl", "--silent", "--noproxy", "*", "--write-out", "\n%{http_code}", *arguments]
    done = subprocess.run(command, input=body, capture_output=True, text=True, check=True)
    text, _, status = done.stdout.rpartition("\n")
    return int(status), text


def test_curl(gateway: Gateway) -> None:
    chat = f"{gateway.openai_url}/chat/completions"
    headers = ["-H", f"Authorization: Bearer {gateway.token}", "-H", "Content-Type: application/json"]
    body = json.dumps({"model": "gpt-oss-120b", "messages": ASK})
    status, text = curl(chat, *headers, "--data-binary", "@-", body=body)
    assert (status, json.loads(text)["choices"][0]["message"]["content"]) == (200, "forty-two")
    status, text = curl(f"{gateway.gateway_url}/whoami", *headers)
    assert (status, json.loads(text)["username"]) == (200, "ada@anl.gov")


def test_a_client_that_waits_for_leave_to_send_gets_it(gateway: Gateway) -> None:
    body = json.dumps({"model": "gpt-oss-120b", "messages": ASK}).encode()
    head = (
        "POST /resource_server/metis/api/v1/chat/completions HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
        f"Authorization: Bearer {gateway.token}\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    port = int(gateway.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection, connection.makefile("rb") as answer:
        connection.sendall(head.encode())
        assert [answer.readline(), answer.readline()] == [b"HTTP/1.1 100 Continue\r\n", b"\r\n"]
        connection.sendall(body)
        assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
        assert b"forty-two" in answer.read()
