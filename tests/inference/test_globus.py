"""The shared Globus login: one file, one refresher, no prompt."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import re
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import globus_sdk
import pytest
from globus_sdk.login_flows import LoginFlowManager
from inference_kit import get, opened

from metis_flow.errors import LoginRequired
from metis_flow.inference import login
from metis_flow.inference.endpoints import EndpointConfig
from metis_flow.inference.errors import LoginServiceDown
from metis_flow.inference.globus import CLIENT_ID, POLICY, RESOURCE_SERVER, GlobusTokens, token_file, write_token_data
from metis_flow.inference.tokens import take_secrets
from metis_flow.testing import Gateway, Person

MODEL = "gpt-oss-120b"
REMEDY = "type: metis-flow auth login --force (if that does not help, log out at https://app.globus.org/logout first)"


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Gateway]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.stdin", None)  # whoever prompts, fails
    with Gateway(rule=lambda body, n: "fine", limits=None, speed=60.0) as found:
        for name, value in found.environment().items():
            monkeypatch.setenv(name, value)
        yield found


def entry(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["data"]["DEFAULT"][RESOURCE_SERVER]
    return found


def endpoint(gateway: Gateway) -> EndpointConfig:
    data = {
        "name": "metis",
        "source": Path("metis.yaml"),
        "kind": "openai",
        "base_url": gateway.openai_url,
        "gateway": gateway.gateway_url,
        "auth": {"kind": "globus"},
    }
    return EndpointConfig.model_validate(data)


def ask(gateway: Gateway, times: int = 1) -> list[Any]:
    async def main() -> list[Any]:
        async with opened(endpoint(gateway)) as inference:
            return await asyncio.gather(*(get(inference, model=MODEL) for _ in range(times)), return_exceptions=True)

    return asyncio.run(main())


def test_without_a_login_it_says_the_command(gateway: Gateway) -> None:
    (error,) = ask(gateway)
    assert isinstance(error, LoginRequired)
    assert (error.summary, error.hint) == ("you are not logged in to Metis", "type: metis-flow auth login")
    assert gateway.calls == []


def test_a_login_of_another_tool_serves(gateway: Gateway, tmp_path: Path) -> None:
    path = gateway.write_token_file(tmp_path)
    assert path == token_file()
    (answer,) = ask(gateway)
    assert answer.text == "fine"
    assert gateway.counts.refresh_attempts == 0


def test_a_dead_token_is_refreshed_once_for_all_calls(gateway: Gateway, tmp_path: Path) -> None:
    path = gateway.write_token_file(tmp_path, expires_in=-10)
    document = json.loads(path.read_text())
    document["data"]["DEFAULT"]["other"] = {"access_token": "not ours"}
    path.write_text(json.dumps(document))
    before = entry(path)
    assert {answer.text for answer in ask(gateway, 20)} == {"fine"}
    after = entry(path)
    assert after["access_token"] != before["access_token"]
    assert after["refresh_token"] == before["refresh_token"]
    assert after["expires_at_seconds"] > time.time() + 86_400
    assert json.loads(path.read_text())["data"]["DEFAULT"]["other"] == {"access_token": "not ours"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert gateway.counts.refresh_attempts == 1


def test_a_token_that_the_gateway_refuses_is_refreshed_once(gateway: Gateway, tmp_path: Path) -> None:
    gateway.write_token_file(tmp_path)
    gateway.expire_tokens()
    assert {answer.text for answer in ask(gateway, 20)} == {"fine"}
    assert gateway.counts.refresh_attempts == 1


def test_a_dead_login_says_the_command_and_the_logout_page(gateway: Gateway, tmp_path: Path) -> None:
    gateway.write_token_file(tmp_path)
    gateway.expire_tokens()
    gateway.revoke_logins()
    (error,) = ask(gateway)
    assert isinstance(error, LoginRequired)
    assert error.summary == "your Metis login has ended and cannot be renewed by itself"
    assert error.hint == REMEDY


def test_a_new_token_that_is_refused_too_is_the_end(gateway: Gateway, tmp_path: Path) -> None:
    gateway.write_token_file(tmp_path)
    gateway.expire_tokens()
    gateway.set_globus(problem="inactive")
    (error,) = ask(gateway)
    assert isinstance(error, LoginRequired)
    assert error.summary == "the endpoint 'metis' does not accept your login"
    assert error.hint == REMEDY
    assert gateway.counts.refresh_attempts == 1


def test_it_is_refreshed_ahead_of_its_end(gateway: Gateway, tmp_path: Path) -> None:
    path = gateway.write_token_file(tmp_path, expires_in=500)
    os.utime(path, (time.time() - 3600,) * 2)
    provider = GlobusTokens()
    assert provider.held() is None
    token = provider.token()
    assert token == provider.held() == entry(path)["access_token"]
    assert gateway.counts.refresh_attempts == 1


def test_while_globus_is_down_the_present_token_serves(gateway: Gateway, tmp_path: Path) -> None:
    path = gateway.write_token_file(tmp_path, expires_in=500)
    os.utime(path, (time.time() - 3600,) * 2)
    gateway.set_globus(tokens="down")
    provider = GlobusTokens()
    assert provider.token() == provider.held() == entry(path)["access_token"]
    tried = gateway.counts.refresh_attempts
    assert provider.token() == entry(path)["access_token"]
    assert gateway.counts.refresh_attempts == tried, "not asked again at once"
    with pytest.raises(LoginServiceDown, match="Globus cannot be reached to renew your login"):
        provider.refused(entry(path)["access_token"])


def test_a_reader_never_refreshes(gateway: Gateway, tmp_path: Path) -> None:
    gateway.write_token_file(tmp_path, expires_in=-10)
    with pytest.raises(LoginRequired, match="your Metis login has expired"):
        GlobusTokens(may_refresh=False).token()
    assert gateway.counts.refresh_attempts == 0


def test_a_token_of_another_process_is_taken_up(gateway: Gateway, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("metis_flow.inference.globus.LOOK_EVERY", 0.0)
    path = gateway.write_token_file(tmp_path)
    provider = GlobusTokens(may_refresh=False)
    old = provider.token()
    write_token_data(path, {RESOURCE_SERVER: entry(path) | {"access_token": "newer"}})
    assert provider.held() is None
    assert provider.token() == provider.held() == "newer"
    assert provider.refused(old), "another one can be had"
    assert not provider.refused("newer")


EIGHT = """
import sys
from metis_flow.inference.globus import GlobusTokens
provider = GlobusTokens()
print("ready", flush=True)
sys.stdin.readline()
print(provider.token(), flush=True)
"""


def test_eight_processes_refresh_once(gateway: Gateway, tmp_path: Path) -> None:
    path = gateway.write_token_file(tmp_path, expires_in=-10)
    gateway.set_globus(delay=0.3)
    with open(os.devnull) as _:
        processes = [
            subprocess.Popen([sys.executable, "-c", EIGHT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(8)
        ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    tokens = {process.communicate()[0].strip() for process in processes}
    assert tokens == {entry(path)["access_token"]}
    assert gateway.counts.refresh_attempts == 1


def test_threads_refresh_once(gateway: Gateway, tmp_path: Path) -> None:
    gateway.write_token_file(tmp_path, expires_in=-10)
    provider = GlobusTokens()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(provider.token())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert gateway.counts.refresh_attempts == 1


def test_a_damaged_file_is_said_to_be_so(gateway: Gateway, tmp_path: Path) -> None:
    path = gateway.write_token_file(tmp_path)
    path.write_text("{")
    with pytest.raises(LoginRequired) as caught:
        GlobusTokens().token()
    assert caught.value.summary == "the token file is damaged"
    assert caught.value.hint == "type: metis-flow auth login --force"


def test_the_provider_keeps_its_secret(gateway: Gateway, tmp_path: Path) -> None:
    gateway.write_token_file(tmp_path)
    provider = take_secrets(endpoint(gateway))
    token = provider.token()
    assert token not in repr(provider)
    assert token not in repr(vars(provider))
    with pytest.raises(TypeError):
        pickle.dumps(provider)


class Browser(LoginFlowManager):
    """Opens the page as a person would, and takes the code from where it ends."""

    @classmethod
    def for_globus_app(cls, app_name: str, login_client: Any, config: Any) -> Browser:
        return cls(login_client, request_refresh_tokens=config.request_refresh_tokens)

    def run_login_flow(self, auth_parameters: Any) -> globus_sdk.OAuthTokenResponse:
        url = self._get_authorize_url(auth_parameters, self.login_client.base_url + "v2/web/auth-code")
        with urllib.request.urlopen(url) as page:
            code = re.search(r'value="([^"]+)"', page.read().decode())
        assert code is not None
        return self.login_client.oauth2_exchange_code_for_tokens(code[1])


def test_login_status_token_logout(gateway: Gateway) -> None:
    assert login.status().logged_in is False
    assert login.status().seconds_left() == 0
    assert login.login(flow=Browser)
    (asked,) = gateway.logins_asked
    assert asked["session_required_policies"] == POLICY
    assert asked["client_id"] == CLIENT_ID
    assert asked["access_type"] == "offline"
    assert "prompt" not in asked
    status = login.status()
    assert (status.logged_in, status.renewable, status.path) == (True, True, token_file())
    assert status.identity_id == Person().id
    assert 86_400 < status.seconds_left() <= 172_800
    assert status.outlasts(86_400)
    assert not status.outlasts(200_000)
    assert stat.S_IMODE(token_file().stat().st_mode) == 0o600
    assert login.access_token() == entry(token_file())["access_token"]
    assert ask(gateway)[0].text == "fine"
    assert not login.login(flow=Browser), "the present one works"
    assert login.login(force=True, flow=Browser)
    assert gateway.logins_asked[1]["prompt"] == "login"
    with globus_sdk.UserApp(
        "inference_app",
        client_id=CLIENT_ID,
        scope_requirements={RESOURCE_SERVER: [f"https://auth.globus.org/scopes/{RESOURCE_SERVER}/action_all"]},
        config=globus_sdk.GlobusAppConfig(request_refresh_tokens=True),
    ) as other:
        assert not other.login_required(), "ALCF's helper and alcf-ai are logged in too"
    token = login.access_token()
    assert login.logout()
    assert not login.status().logged_in
    assert not login.logout()
    with pytest.raises(LoginRequired):
        login.access_token()
    assert token not in token_file().read_text()


def test_a_login_as_somebody_else_replaces_the_old_one(gateway: Gateway) -> None:
    login.login(flow=Browser)
    gateway.set_globus(person={"id": "00000000-0000-4000-8000-0000000000ff"})
    assert login.login(force=True, flow=Browser)
    assert login.status().identity_id == "00000000-0000-4000-8000-0000000000ff"


def test_a_dead_login_is_replaced_without_force(gateway: Gateway, tmp_path: Path) -> None:
    gateway.write_token_file(tmp_path, expires_in=-10)
    gateway.revoke_logins()
    assert login.login(flow=Browser)
    assert login.status().logged_in


def test_a_login_that_fails_says_what_to_do(gateway: Gateway) -> None:
    gateway.set_globus(tokens="refuse")
    with pytest.raises(LoginRequired) as caught:
        login.login(flow=Browser)
    assert caught.value.summary == "the login did not succeed"
    assert caught.value.hint is not None
    assert "https://app.globus.org/logout" in caught.value.hint
    assert not token_file().exists()


def test_logout_without_globus_changes_nothing(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = gateway.write_token_file(tmp_path)
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", "http://127.0.0.1:9/")
    with pytest.raises(LoginServiceDown, match="you are still logged in"):
        login.logout(path)
    assert login.status().logged_in
