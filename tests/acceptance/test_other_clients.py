"""Programs other than metis-flow use its login: curl, and the plain openai package."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from acceptance_kit import MODEL, Desk
from openai import AuthenticationError, OpenAI, RateLimitError

from metis_flow.inference import login
from metis_flow.testing import Gateway


@pytest.fixture
def gateway(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """A gateway where the user of the desk is logged in."""
    with Gateway(lambda body, n: "42") as running:
        running.write_token_file(desk.home)
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_with_the_token_that_the_command_prints(desk: Desk, gateway: Gateway) -> None:
    printed = desk.call("auth", "token")
    assert (printed.code, printed.err) == (0, "")
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Six times seven?"}]})
    script = (
        f"curl --silent --show-error --noproxy '*' {gateway.openai_url}/chat/completions"
        ' -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d "$BODY"'
    )
    environment = desk.environment({"TOKEN": printed.out.strip(), "BODY": body})
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["choices"][0]["message"]["content"] == "42"
    assert gateway.counts.answered == 1


def test_the_openai_package(desk: Desk, gateway: Gateway) -> None:
    question = {"model": MODEL, "messages": [{"role": "user", "content": "Six times seven?"}]}
    with OpenAI(base_url=gateway.openai_url, api_key=login.access_token(), max_retries=0) as client:
        whole = client.chat.completions.create(**question)  # type: ignore[call-overload]
        assert whole.choices[0].message.content == "42"
        assert whole.usage.total_tokens > 0
        stream = client.chat.completions.create(**question, stream=True)  # type: ignore[call-overload]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "42"
        gateway.fail_next("429_tokens")
        with pytest.raises(RateLimitError) as refused:
            client.chat.completions.create(**question)  # type: ignore[call-overload]
        assert refused.value.code == "too_many_requests"
        gateway.expire_tokens()
        with pytest.raises(AuthenticationError):
            client.chat.completions.create(**question)  # type: ignore[call-overload]


def test_a_token_that_has_ended_is_renewed_before_it_is_printed(desk: Desk, gateway: Gateway) -> None:
    gateway.write_token_file(desk.home, expires_in=-5)
    assert gateway.counts.refreshes == 0
    with OpenAI(base_url=gateway.openai_url, api_key=desk.call("auth", "token").out.strip()) as client:
        question = [{"role": "user", "content": "Six times seven?"}]
        client.chat.completions.create(model=MODEL, messages=question)  # type: ignore[arg-type]
    assert gateway.counts.refreshes == 1
