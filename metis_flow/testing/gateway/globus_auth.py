"""Globus Auth as a login needs it: the token endpoint, the authorize page, the key of its identity tokens.

globus_sdk comes here when ``GLOBUS_SDK_SERVICE_URL_AUTH`` names this server. A login is granted at once to whoever
opens the authorize page; who that is, and whether refresh tokens still work, the test decides.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode, urlsplit

from metis_flow.testing.gateway.access import Access
from metis_flow.testing.gateway.ledger import Ledger
from metis_flow.testing.gateway.options import RESOURCE_SERVER, SCOPE, Person
from metis_flow.testing.gateway.shapes import Answer, Refusal, document

AUTH_SERVER = "auth.globus.org"
TOKEN_STATES = ("up", "refuse", "down")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Grant:
    """What a refresh token is good for."""

    person: Person
    resource_server: str
    scope: str
    client_id: str


@dataclass(frozen=True)
class Code:
    """What an authorization code is good for, once."""

    client_id: str
    redirect_uri: str
    scope: str
    challenge: str
    offline: bool


class GlobusAuth:
    """The Auth service. One event loop uses it.

    Args:
        access: where access tokens are known.
        ledger: where refreshes and logins are counted.
        person: who logs in.
        lifetime: real seconds that an access token lives.
    """

    def __init__(self, access: Access, ledger: Ledger, person: Person, lifetime: float) -> None:
        self._access = access
        self._ledger = ledger
        self._grants: dict[str, Grant] = {}
        self._codes: dict[str, Code] = {}
        self.person = person
        self.lifetime = lifetime
        self.problem: str | None = None  # of the tokens issued from now on
        self.state = "up"
        self.delay = 0.0  # real seconds that the token endpoint takes
        self.asked: list[dict[str, str]] = []  # what each login asked for

    # -- what a test does

    def login(self, person: Person, *, lifetime: float, client_id: str) -> dict[str, Any]:
        """Tokens as a login to Metis gets them: the fields of the token file."""
        issued = self._issue(person, RESOURCE_SERVER, SCOPE, client_id, offline=True, lifetime=lifetime)
        return {
            "resource_server": RESOURCE_SERVER,
            "identity_id": person.id,
            "scope": SCOPE,
            "access_token": issued["access_token"],
            "refresh_token": issued["refresh_token"],
            "expires_at_seconds": int(time.time() + lifetime),
            "token_type": "Bearer",
        }

    def revoke_logins(self) -> int:
        """Let all refresh tokens die; how many there were."""
        count = len(self._grants)
        self._grants.clear()
        return count

    # -- the routes

    async def token(self, form: Mapping[str, str]) -> Answer:
        """``POST /v2/oauth2/token``.

        Raises:
            Refusal: an OAuth error.
        """
        kind = form.get("grant_type")
        if kind == "refresh_token":
            self._ledger.auth["refresh_attempts"] += 1
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.state == "down":
            raise Refusal(document("globus_down", {"error": "server_error"}, 500))
        if kind == "refresh_token":
            return self._refresh(form)
        if kind == "authorization_code":
            return self._exchange(form)
        raise _oauth_error("unsupported_grant_type")

    def _refresh(self, form: Mapping[str, str]) -> Answer:
        value = form.get("refresh_token", "")
        grant = self._grants.get(value)
        if grant is None or self.state == "refuse" or form.get("client_id", grant.client_id) != grant.client_id:
            raise _oauth_error("invalid_grant")
        self._ledger.auth["refreshes"] += 1
        issued = self._issue(grant.person, grant.resource_server, grant.scope, grant.client_id, offline=False)
        return document("token", {**issued, "refresh_token": value, "other_tokens": []})

    def _exchange(self, form: Mapping[str, str]) -> Answer:
        code = self._codes.pop(form.get("code", ""), None)
        verifier = form.get("code_verifier", "").encode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).decode().rstrip("=")
        if code is None or self.state == "refuse" or challenge != code.challenge:
            raise _oauth_error("invalid_grant")
        if (form.get("client_id"), form.get("redirect_uri")) != (code.client_id, code.redirect_uri):
            raise _oauth_error("invalid_grant")
        self._ledger.auth["logins"] += 1
        issued = [
            self._issue(self.person, server, scope, code.client_id, offline=code.offline)
            for server, scope in _by_server(code.scope).items()
        ]
        first: dict[str, Any] = {**issued[0], "state": "_default", "other_tokens": issued[1:]}
        if "openid" in code.scope.split():
            first["id_token"] = self._id_token(code.client_id)
        return document("token", first)

    def _issue(
        self,
        person: Person,
        server: str,
        scope: str,
        client_id: str,
        *,
        offline: bool,
        lifetime: float | None = None,
    ) -> dict[str, Any]:
        seconds = self.lifetime if lifetime is None else lifetime
        issued: dict[str, Any] = {
            "access_token": self._access.issue(person, lifetime=seconds, problem=self.problem),
            "scope": scope,
            "expires_in": int(seconds),
            "token_type": "Bearer",
            "resource_server": server,
        }
        if offline:
            issued["refresh_token"] = "Ag" + secrets.token_hex(24)
            self._grants[issued["refresh_token"]] = Grant(person, server, scope, client_id)
        return issued

    def revoke(self, form: Mapping[str, str]) -> Answer:
        """``POST /v2/oauth2/token/revoke``: of an access token or a refresh token, known or not."""
        value = form.get("token", "")
        self._ledger.auth["revocations"] += 1
        if self._grants.pop(value, None) is None:
            self._access.expire(value)
        return document("revoked", {"active": False})

    def authorize(self, query: Mapping[str, str], base_url: str) -> Answer:
        """``GET /v2/oauth2/authorize``: grants the login and sends the browser on with a code.

        Raises:
            Refusal: the request is not one of a native app, or it would send the code to another machine.
        """
        redirect = query.get("redirect_uri", "")
        wanted = {"response_type": "code", "code_challenge_method": "S256"}
        if any(query.get(name) != value for name, value in wanted.items()) or not query.get("scope"):
            raise _oauth_error("invalid_request")
        if not redirect.startswith(base_url) and urlsplit(redirect).hostname not in _LOOPBACK:
            raise _oauth_error("mismatching_redirect_uri")
        self.asked.append(dict(query))
        code = secrets.token_urlsafe(24)
        self._codes[code] = Code(
            query.get("client_id", ""),
            redirect,
            query["scope"],
            query.get("code_challenge", ""),
            query.get("access_type") == "offline",
        )
        answer = urlencode({"code": code, "state": query.get("state", "_default")})
        joint = "&" if urlsplit(redirect).query else "?"
        return Answer("authorize", 302, b"", "text/plain", (("Location", f"{redirect}{joint}{answer}"),))

    @staticmethod
    def show_code(query: Mapping[str, str]) -> Answer:
        """``GET /v2/web/auth-code``: the page from which a person copies the code."""
        code = "".join(letter for letter in query.get("code", "") if letter.isalnum() or letter in "-_")
        page = f'<!doctype html>\n<html><body><input id="auth-code" readonly value="{code}"></body></html>\n'
        return Answer("auth_code", 200, page.encode(), "text/html; charset=utf-8")

    # -- identity tokens

    @cached_property
    def _key(self) -> Any:
        from cryptography.hazmat.primitives.asymmetric import rsa

        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def _id_token(self, client_id: str) -> str:
        import jwt

        now = int(time.time())
        claims = {
            "sub": self.person.id,
            "name": self.person.name,
            "preferred_username": self.person.username,
            "identity_provider": self.person.idp_id,
            "identity_provider_display_name": self.person.idp_name,
            "iss": f"https://{AUTH_SERVER}",
            "aud": client_id,
            "iat": now,
            "exp": now + 172_800,
        }
        return jwt.encode(claims, self._key, algorithm="RS512")

    def keys(self) -> Answer:
        """``GET /jwk.json``."""
        from jwt.algorithms import RSAAlgorithm

        key = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        return document("jwk", {"keys": [{**key, "alg": "RS512", "use": "sig"}]})

    @staticmethod
    def configuration(base_url: str) -> Answer:
        """``GET /.well-known/openid-configuration``."""
        content = {
            "issuer": f"https://{AUTH_SERVER}",
            "authorization_endpoint": f"{base_url}/v2/oauth2/authorize",
            "token_endpoint": f"{base_url}/v2/oauth2/token",
            "revocation_endpoint": f"{base_url}/v2/oauth2/token/revoke",
            "jwks_uri": f"{base_url}/jwk.json",
            "id_token_signing_alg_values_supported": ["RS512"],
        }
        return document("openid", content)


def _by_server(scopes: str) -> dict[str, str]:
    """Scopes by the resource server that they belong to, Metis first."""
    found: dict[str, list[str]] = {}
    for scope in scopes.split():
        found.setdefault(_server_of(scope), []).append(scope)
    ordered = sorted(found, key=lambda server: server != RESOURCE_SERVER)
    return {server: " ".join(found[server]) for server in ordered}


def _server_of(scope: str) -> str:
    plain = scope.split("[")[0].lstrip("*")
    if plain.startswith("https://auth.globus.org/scopes/"):
        return plain.split("/")[4]
    if plain.startswith("urn:globus:auth:scope:"):
        return plain.split(":")[4]
    return AUTH_SERVER


def _oauth_error(code: str) -> Refusal:
    return Refusal(document(code, {"error": code}, 400))
