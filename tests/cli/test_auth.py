"""`metis-flow auth`, against a Globus Auth on this machine."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_kit import Cli, Here

from metis_flow.testing import Gateway


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    with Gateway(lambda body, n: "fine", limits=None) as found:
        for name, value in found.environment().items():
            monkeypatch.setenv(name, value)
        yield found


def log_in(cli: Cli, *options: str) -> tuple[int, str]:
    """Go through the login as a person does: open the page, copy the code; exit code, and all that was printed."""
    process = cli.start(
        "auth",
        "login",
        "--no-browser",
        *options,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    seen = ""
    while (address := re.search(r"http://127\S+", seen)) is None:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    with urllib.request.urlopen(address[0]) as page:
        code = re.search(r'value="([^"]+)"', page.read().decode())
    assert code is not None
    rest, _ = process.communicate(code[1] + "\n")
    return process.returncode, seen + rest


def test_logging_in_and_out(gateway: Gateway, cli: Cli, here: Here) -> None:
    code, seen = log_in(cli)
    assert code == 0
    assert seen.endswith("logged in\n")
    ended = here("auth", "status", "--walltime", "1h")
    assert ended.code == 0
    assert "identity: 00000000-0000-4000-8000-000000000001\n" in ended.out
    assert re.search(r"^token:    ends in \d+h\d\dm, at \d{4}-", ended.out, re.M)
    assert "renewal:  by itself, when it is needed\n" in ended.out
    assert "a job of 1h00m: the token lasts longer\n" in ended.out
    again = here("auth", "login")
    assert (again.code, again.out) == (0, "you are logged in already; --force logs in again\n")
    token = here("auth", "token").out
    assert token.strip()
    assert token.strip() not in ended.out
    assert here("auth", "logout").out == "logged out\n"
    assert here("auth", "logout").out == "nobody was logged in\n"
    assert here("auth", "status").code == 3


def test_logging_in_again(gateway: Gateway, cli: Cli, here: Here) -> None:
    gateway.write_token_file(Path.home())
    before = here("auth", "token").out
    assert log_in(cli, "--force")[0] == 0
    assert here("auth", "token").out != before
    assert [asked["prompt"] for asked in gateway.logins_asked] == ["login"]


def test_who_is_not_logged_in_is_told_what_to_type(gateway: Gateway, here: Here) -> None:
    for command in (["auth", "status"], ["auth", "token"]):
        ended = here(*command)
        assert (ended.code, ended.out) == (3, "")
        assert "hint: type: metis-flow auth login" in ended.err
    assert here("auth", "status", "--json").document == {
        "error": {
            "summary": "nobody is logged in",
            "where": None,
            "hint": "type: metis-flow auth login",
            "code": 3,
        }
    }


def test_how_long_a_login_lasts(gateway: Gateway, here: Here) -> None:
    gateway.write_token_file(Path.home(), expires_in=7200)
    assert 119 < float(here("auth", "status", "--units", "minutes").out) <= 120
    assert 1.9 < float(here("auth", "status", "--units", "hours").out) <= 2
    document = here("auth", "status", "--walltime", "3h", "--json").document
    assert document["outlasts"] is False
    assert document["renewable"] is True
    assert 7100 < document["seconds_left"] <= 7200
    assert "a job of 3h00m: the token ends before, and is renewed" in here("auth", "status", "--walltime", "3h").out
    assert here("auth", "status", "--walltime", "soon").code == 2


def test_a_token_that_is_printed_works_with_another_client(gateway: Gateway, cli: Cli) -> None:
    gateway.write_token_file(Path.home())
    token = cli("auth", "token").out.strip()
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-H", f"Authorization: Bearer {token}", f"{gateway.gateway_url}/whoami"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"ada@anl.gov"' in done.stdout
