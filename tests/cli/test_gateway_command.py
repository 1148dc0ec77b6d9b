"""`metis-flow gateway`."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request

import pytest
from cli_kit import Cli, Here


def test_a_gateway_answers_until_it_is_stopped(cli: Cli) -> None:
    process = cli.start("gateway", "--answer", "forty-two", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    addresses = json.loads(process.stdout.readline())
    body = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "?"}]}
    headers = {"Authorization": f"Bearer {addresses['token']}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{addresses['openai_url']}/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["choices"][0]["message"]["content"] == "forty-two"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "", "")


def test_its_help_is_its_own(here: Here) -> None:
    ended = here("gateway", "--help")
    assert ended.code == 0
    assert ended.out.startswith("usage: metis-flow gateway ")
    assert "--tokens-per-minute N" in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--speed", "quick"], "argument --speed: invalid float value: 'quick'"),
        (["--faults", "{not json"], "Expecting property name"),
        (["--faults", "@nothing.json"], "No such file"),
        (["--rule", "nothing_of_the_kind:rule"], "No module named 'nothing_of_the_kind'"),
    ],
)
def test_a_wrong_option_is_told(cli: Cli, arguments: list[str], words: str) -> None:
    ended = cli("gateway", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert "Traceback" not in ended.err
