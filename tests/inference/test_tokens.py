"""Tokens: where they come from, and that they stay secret."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import ConfigError, LoginRequired
from metis_flow.inference.endpoints import EndpointConfig
from metis_flow.inference.tokens import mask, take_secrets

SECRET = "s3cret-token-value"


def endpoint(source: Path = Path("e.yaml"), **auth: Any) -> EndpointConfig:
    data = {"name": "e", "source": source, "kind": "openai", "base_url": "https://h/v1", "auth": auth}
    return EndpointConfig.model_validate(data)


def test_a_variable_is_read_once_and_taken_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", SECRET)
    provider = take_secrets(endpoint(kind="env", variable="KEY"))
    assert provider.token() == provider.held() == SECRET
    assert "KEY" not in os.environ
    assert not provider.refused(SECRET)
    assert provider.remedy() == "type: export KEY=… with a valid key"
    again = take_secrets(endpoint(kind="env", variable="KEY"))
    assert again.token() == SECRET, "a second run of the same process has it too"


def test_no_auth_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert take_secrets(endpoint(kind="none")).token() == ""
    assert os.environ["OPENAI_API_KEY"] == SECRET


def test_a_file_is_read_again_when_its_token_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first-one\n")
    provider = take_secrets(endpoint(tmp_path / "e.yaml", kind="file", path="token"))
    assert provider.held() is None
    assert provider.token() == provider.held() == "first-one"
    assert not provider.refused("first-one")
    path.write_text("second-one\n")
    assert provider.refused("first-one")
    assert provider.token() == "second-one"


def test_a_command_is_run_without_a_shell(tmp_path: Path) -> None:
    counter = tmp_path / "n"
    script = f"import pathlib; p = pathlib.Path({str(counter)!r}); n = len(p.read_text()) if p.exists() else 0; "
    script += "p.write_text('x' * (n + 1)); print(f'tok-{n}')"
    provider = take_secrets(endpoint(kind="command", command=[sys.executable, "-c", script]))
    assert provider.token() == "tok-0"
    assert provider.token() == "tok-0"
    assert provider.refused("tok-0")
    assert provider.token() == "tok-1"


FAILURES = [
    ({"kind": "file", "path": "/nowhere/token"}, ConfigError, "the token file cannot be read: No such file"),
    ({"kind": "command", "command": "no-such-program"}, ConfigError, "the token command 'no-such-program' was not"),
    ({"kind": "command", "command": "false"}, LoginRequired, "the token command 'false' ended with exit code 1"),
    ({"kind": "command", "command": "true"}, LoginRequired, "the token command 'true' printed nothing"),
    ({"kind": "command", "command": "echo a b"}, ConfigError, "what stands there is no token"),
]


@pytest.mark.parametrize(("auth", "kind", "summary"), FAILURES)
def test_what_is_said_without_a_token(auth: dict[str, Any], kind: type[Exception], summary: str) -> None:
    with pytest.raises(kind, match=summary):
        take_secrets(endpoint(**auth)).token()


def test_an_empty_token_file(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("\n")
    with pytest.raises(ConfigError) as caught:
        take_secrets(endpoint(tmp_path / "e.yaml", kind="file", path="t")).token()
    assert caught.value.summary == "the token file holds no token"


def test_a_provider_shows_and_pickles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", SECRET)
    provider = take_secrets(endpoint(kind="env", variable="KEY"))
    assert SECRET not in repr(provider)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(provider)


def test_what_is_no_token_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "one\ntwo")
    with pytest.raises(ConfigError) as caught:
        take_secrets(endpoint(kind="env", variable="KEY"))
    assert "one" not in caught.value.render()
    assert caught.value.where == "KEY"


def test_masking() -> None:
    assert mask(f"Bearer {SECRET}, {SECRET}", SECRET, None, "") == "Bearer •••, •••"
