"""The real globus_sdk against the gateway's Globus Auth."""

from __future__ import annotations

import json
import re
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import globus_sdk
import pytest
from globus_sdk.login_flows import LoginFlowManager

from metis_flow.testing import Gateway, Person

CLIENT = "58fdd3bc-e1c3-4ce5-80ea-8d6b87cfb944"
SERVER = "681c10cc-f684-4540-bcd7-0b4df3bc26ef"
SCOPE = f"https://auth.globus.org/scopes/{SERVER}/action_all"
POLICY = "83732ff2-9c42-4548-b5ce-17e498c84f6a"


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Gateway]:
    monkeypatch.setenv("HOME", str(tmp_path))
    with Gateway(limits=None) as found:
        for name, value in found.environment().items():
            monkeypatch.setenv(name, value)
        yield found


class Browser(LoginFlowManager):
    """Opens the authorize page, as a person would, and takes the code from the page it ends on."""

    def run_login_flow(self, auth_parameters: Any) -> globus_sdk.OAuthTokenResponse:
        url = self._get_authorize_url(auth_parameters, self.login_client.base_url + "v2/web/auth-code")
        with urllib.request.urlopen(url) as page:
            code = re.search(r'value="([^"]+)"', page.read().decode())
        assert code is not None
        return self.login_client.oauth2_exchange_code_for_tokens(code[1])


def app(**config: Any) -> globus_sdk.UserApp:
    return globus_sdk.UserApp(
        "inference_app",
        client_id=CLIENT,
        scope_requirements={SERVER: [SCOPE]},
        config=globus_sdk.GlobusAppConfig(request_refresh_tokens=True, **config),
    )


def test_the_token_file_is_as_globus_sdk_writes_it(gateway: Gateway, tmp_path: Path) -> None:
    path = gateway.write_token_file(tmp_path, expires_in=500)
    assert path == tmp_path / f".globus/app/{CLIENT}/inference_app/tokens.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    document = json.loads(path.read_text())
    assert set(document) == {"data", "format_version", "globus-sdk.version"}
    tokens = document["data"]["DEFAULT"][SERVER]
    assert sorted(tokens) == [
        "access_token", "expires_at_seconds", "identity_id", "refresh_token", "resource_server", "scope", "token_type",
    ]  # fmt: skip
    assert abs(tokens["expires_at_seconds"] - time.time() - 500) < 60


def test_a_token_of_the_file_works(gateway: Gateway, tmp_path: Path, send: Any) -> None:
    gateway.write_token_file(tmp_path, expires_in=5000)
    with app() as user:
        header = user.get_authorizer(SERVER).get_authorization_header()
    assert send(gateway, "/whoami", token=header.split()[1]).status == 200
    assert gateway.counts.refresh_attempts == 0


def test_a_dead_token_is_refreshed_once_and_written(gateway: Gateway, tmp_path: Path, send: Any) -> None:
    path = gateway.write_token_file(tmp_path, expires_in=-10)
    old = json.loads(path.read_text())["data"]["DEFAULT"][SERVER]
    assert send(gateway, "/whoami", token=old["access_token"]).status == 401
    with app() as user:
        header = user.get_authorizer(SERVER).get_authorization_header()
    new = json.loads(path.read_text())["data"]["DEFAULT"][SERVER]
    assert header == f"Bearer {new['access_token']}"
    assert (new["refresh_token"], new["scope"]) == (old["refresh_token"], SCOPE)
    assert new["access_token"] != old["access_token"]
    assert send(gateway, "/whoami", token=new["access_token"]).status == 200
    counts = gateway.counts
    assert (counts.refresh_attempts, counts.refreshes) == (1, 1)
    assert counts.routes["oauth2/token"] == 1


@pytest.mark.parametrize("how", ["refuse", "revoke"])
def test_a_refused_refresh(gateway: Gateway, tmp_path: Path, how: str) -> None:
    gateway.write_token_file(tmp_path, expires_in=-10)
    if how == "refuse":
        gateway.set_globus(tokens="refuse")
    else:
        assert gateway.revoke_logins() == 1
    with app() as user, pytest.raises(globus_sdk.AuthAPIError) as raised:
        user.get_authorizer(SERVER).get_authorization_header()
    assert (raised.value.http_status, raised.value.raw_json) == (400, {"error": "invalid_grant"})
    assert (gateway.counts.refreshes, gateway.counts.kinds["invalid_grant"]) == (0, 1)


def test_the_token_endpoint_is_down(gateway: Gateway, tmp_path: Path) -> None:
    gateway.write_token_file(tmp_path, expires_in=-10)
    gateway.set_globus(tokens="down")
    client = globus_sdk.NativeAppAuthClient(CLIENT)
    client.retry_config.max_retries = 0
    token = json.loads(next(tmp_path.rglob("tokens.json")).read_text())["data"]["DEFAULT"][SERVER]["refresh_token"]
    with pytest.raises(globus_sdk.AuthAPIError) as raised:
        client.oauth2_refresh_token(token)
    assert raised.value.http_status == 500
    gateway.set_globus(tokens="up", lifetime=90)
    tokens = client.oauth2_refresh_token(token).by_resource_server[SERVER]
    assert tokens["refresh_token"] == token
    assert 30 < tokens["expires_at_seconds"] - time.time() <= 90


def test_a_login(gateway: Gateway, tmp_path: Path, send: Any) -> None:
    gateway.set_globus(person={"id": "00000000-0000-4000-8000-00000000000a", "name": "Bo Test"})
    parameters = globus_sdk.gare.GlobusAuthorizationParameters(session_required_policies=[POLICY])
    login = Browser(globus_sdk.NativeAppAuthClient(CLIENT), request_refresh_tokens=True)
    with app(login_flow_manager=login) as user:
        assert user.login_required()
        user.login(auth_params=parameters)
        assert not user.login_required()
        token = user.get_authorizer(SERVER).get_authorization_header().split()[1]
    assert send(gateway, "/whoami", token=token).json["name"] == "Bo Test"
    asked = gateway.logins_asked[0]
    assert asked["session_required_policies"] == POLICY
    assert SCOPE in asked["scope"].split()
    stored = json.loads(next(tmp_path.rglob("tokens.json")).read_text())["data"]["DEFAULT"]
    assert set(stored) == {SERVER, "auth.globus.org"}
    assert stored[SERVER]["identity_id"] == "00000000-0000-4000-8000-00000000000a"
    assert gateway.counts.logins == 1


def test_a_logout(gateway: Gateway, tmp_path: Path, send: Any) -> None:
    path = gateway.write_token_file(tmp_path, expires_in=5000)
    token = json.loads(path.read_text())["data"]["DEFAULT"][SERVER]["access_token"]
    assert send(gateway, "/whoami", token=token).status == 200
    with app() as user:
        user.logout()
    assert send(gateway, "/whoami", token=token).status == 401
    assert gateway.counts.revocations == 2
    assert gateway.revoke_logins() == 0


def test_a_login_with_a_problem(gateway: Gateway, tmp_path: Path, send: Any) -> None:
    gateway.set_globus(problem="policy")
    path = gateway.write_token_file(tmp_path, person=Person(id="p", name="Pat", username="pat@anl.gov"))
    token = json.loads(path.read_text())["data"]["DEFAULT"][SERVER]["access_token"]
    assert "high-assurance timeout" in send(gateway, "/whoami", token=token).message


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"redirect_uri": "https://example.org/steal"}, "mismatching_redirect_uri"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "invalid_request"),
    ],
)
def test_a_login_that_is_not_one_is_refused(gateway: Gateway, change: dict[str, str], error: str) -> None:
    client = globus_sdk.NativeAppAuthClient(CLIENT)
    client.oauth2_start_flow(SCOPE)
    url = client.oauth2_get_authorize_url(query_params=change)
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(url)
    with raised.value:
        assert json.load(raised.value) == {"error": error}


def test_a_code_works_once_and_for_whoever_asked(gateway: Gateway) -> None:
    client = globus_sdk.NativeAppAuthClient(CLIENT)
    client.oauth2_start_flow(SCOPE, refresh_tokens=True)
    with urllib.request.urlopen(client.oauth2_get_authorize_url()) as page:
        code = re.search(r'value="([^"]+)"', page.read().decode())
    assert code is not None
    assert client.oauth2_exchange_code_for_tokens(code[1]).by_resource_server[SERVER]["refresh_token"]
    with pytest.raises(globus_sdk.AuthAPIError, match="invalid_grant"):
        client.oauth2_exchange_code_for_tokens(code[1])
    with urllib.request.urlopen(client.oauth2_get_authorize_url()) as page:
        code = re.search(r'value="([^"]+)"', page.read().decode())
    assert code is not None
    other = globus_sdk.NativeAppAuthClient(CLIENT)
    other.oauth2_start_flow(SCOPE)
    with pytest.raises(globus_sdk.AuthAPIError, match="invalid_grant"):
        other.oauth2_exchange_code_for_tokens(code[1])
