"""The gateway in a process of its own, and with another server behind it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from metis_flow.testing import Faults, Gateway, GatewayProcess, Limits, Options, Spell
from metis_flow.testing.gateway.__main__ import options_from, parser

STREAM = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "hello"}], "stream": True}


def test_a_process_serves_and_is_changed_from_outside(send: Any, tmp_path: Path) -> None:
    with GatewayProcess(
        "--no-limits", "--answer", "4", "--keep", "5", "--model", "m", "--model", "n=Queued"
    ) as gateway:
        ask = {"model": "m", "messages": []}
        assert send(gateway, body=ask).json["choices"][0]["message"]["content"] == "4"
        assert send(gateway, body={**ask, "model": "n"}).status == 503
        gateway.set_status("n", "Live", at_once=True)
        assert send(gateway, body={**ask, "model": "n"}).status == 200
        gateway.fail_next("502")
        assert send(gateway, body=ask).status == 502
        gateway.set_faults(Faults(at={0: "500"}, spells=[Spell("not_live", 1)]))
        assert [send(gateway, body=ask).status for _ in range(2)] == [500, 503]
        counts = gateway.counts
        assert counts.statuses == {200: 2, 503: 2, 502: 1, 500: 1}
        assert (counts.answered, len(gateway.calls), gateway.calls[-1].kind) == (2, 5, "503_not_live")
        assert gateway.calls[-1].body == ask
        token = json.loads(gateway.write_token_file(tmp_path).read_text())["data"]["DEFAULT"]
        assert send(gateway, "/whoami", token=next(iter(token.values()))["access_token"]).status == 200
        with pytest.raises(ValueError, match="no model is called 'x'; known: m, n"):
            gateway.set_status("x", "Live")


def test_nobody_controls_it_without_the_key() -> None:
    with GatewayProcess() as gateway:
        for key in ("", "wrong", "é"):
            request = urllib.request.Request(
                f"{gateway.base_url}/_control/counts", headers={"X-Control-Key": key.encode().decode("latin-1")}
            )
            with pytest.raises(urllib.error.HTTPError) as raised:
                urllib.request.urlopen(request)
            with raised.value:
                assert raised.value.code == 403


def test_nothing_controls_a_gateway_of_a_test_over_http() -> None:
    with Gateway() as gateway, pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(f"{gateway.base_url}/_control/counts")
    with raised.value:
        assert raised.value.code == 403


def test_it_ends_at_a_signal_with_code_0() -> None:
    command = [sys.executable, "-m", "metis_flow.testing.gateway", "--latency", "30"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        assert addresses["pid"] == process.pid
        assert set(addresses) == {
            "base_url", "gateway_url", "openai_url", "auth_url", "token", "control_url", "control_key", "pid",
        }  # fmt: skip
        assert addresses["openai_url"] == f"{addresses['base_url']}/resource_server/metis/api/v1"
        process.terminate()
        assert process.wait(timeout=20) == 0


def test_a_process_that_does_not_start_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(RuntimeError, match="the gateway did not start: exit code 2; its reason is on stderr"),
        GatewayProcess("--sped", "3"),
    ):
        pass
    assert "unrecognized arguments: --sped 3" in capfd.readouterr().err


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(Faults(seed=2, rate={"502": 0.5}).as_json()))
    monkeypatch.setenv("KEY", "sesame")
    line = (
        f"--speed 60 --requests-per-second 0 --tokens-per-minute 5 --faults @{plan} --upstream http://u/v1 "
        "--upstream-key-variable KEY --timeout 9 --latency 0.5 --token-lifetime 7 --port 1234 --keep 3"
    )
    found = options_from(parser().parse_args(line.split()))
    assert found.limits == Limits(requests_per_second=0, tokens_per_minute_user=5)
    assert found.faults == Faults(seed=2, rate={"502": 0.5})
    assert (found.upstream, found.upstream_key, found.timeout) == ("http://u/v1", "sesame", 9)
    assert (found.speed, found.latency, found.token_lifetime, found.port, found.keep) == (60, 0.5, 7, 1234, 3)
    found = options_from(parser().parse_args(["--no-limits", "--rule", "json:dumps", "--model", "a=Stopped"]))
    assert (found.limits, found.rule) == (None, json.dumps)
    assert [(model.name, model.status) for model in found.models] == [("a", "Stopped")]


def test_another_server_answers(send: Any) -> None:
    with Gateway(limits=None) as behind, Gateway(upstream=behind.openai_url, upstream_key=behind.token) as gateway:
        assert send(gateway).json["choices"][0]["message"]["content"] == "You said: hello"
        assert gateway.counts.tokens == 13
        assert b"[DONE]" in send(gateway, body=STREAM).raw
        behind.fail_next("429_tokens")
        got = send(gateway)
        assert (got.status, got.code) == (429, "internal_endpoint_error")
        assert got.message.startswith('Upstream endpoint returned 429: b\'{"error": {"code": "too_many_requests"')
        behind.fail_next("not_json")
        assert send(gateway).code == "internal_error"
        behind.fail_next("cut")
        assert send(gateway).code == "internal_endpoint_error"
        behind.fail_next("502")
        assert b"chatcmpl-api-error" in send(gateway, body=STREAM).raw
        gateway.fail_next("502")
        assert send(gateway).status == 502
        assert gateway.counts.answered == 2
    with Gateway(upstream=behind.openai_url) as gateway:
        got = send(gateway)
        assert (got.code, got.message.split(": ")[-1]) == ("internal_endpoint_error", "All connection attempts failed")


def test_a_gateway_has_one_source_of_answers() -> None:
    with pytest.raises(ValueError, match="a rule or an upstream, not both"):
        Options(rule=lambda body, n: "x", upstream="http://127.0.0.1:1/v1")


def test_an_endpoint_file(tmp_path: Path) -> None:
    with Gateway() as gateway:
        path = gateway.write_endpoint(tmp_path, "here")
        found = yaml.safe_load(path.read_text())
        assert (path.name, found["base_url"], found["gateway"]) == (
            "here.yaml",
            gateway.openai_url,
            gateway.gateway_url,
        )
        assert found["limits"] == {"requests_per_second": 10, "tokens_per_minute": {"user": 60000, "model": 100000}}
        token = Path(found["auth"]["path"])
        assert (found["auth"]["kind"], token.read_text().strip()) == ("file", gateway.token)
        assert token.stat().st_mode & 0o777 == 0o600
        other = gateway.write_endpoint(tmp_path, "other", auth={"kind": "globus"}, limits={"concurrency": 4})
        found = yaml.safe_load(other.read_text())
        assert (found["auth"], found["limits"]) == ({"kind": "globus"}, {"concurrency": 4})


def test_a_port_that_is_taken_is_an_error() -> None:
    with Gateway() as gateway:
        port = int(gateway.base_url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"), Gateway(port=port):
            pass


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, metis_flow.testing; print({'aiohttp', 'pydantic', 'globus_sdk'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
