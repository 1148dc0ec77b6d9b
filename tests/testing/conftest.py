"""What the tests of the gateway share."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from metis_flow.testing import Gateway

HELLO = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class Got:
    """An answer."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])


Send = Callable[..., Got]


@pytest.fixture
def send() -> Send:
    """send(gateway, path, body, …): one request on a connection of its own, with the gateway's token."""

    def call(
        gateway: Gateway,
        path: str = "/metis/api/v1/chat/completions",
        body: Any = HELLO,
        *,
        method: str | None = None,
        token: str | None = "",
        headers: dict[str, str] | None = None,
    ) -> Got:
        is_get = not path.endswith(("completions", "embeddings", "responses", "messages", "/api/v1/batches"))
        method = method or ("GET" if is_get else "POST")
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token or gateway.token}"
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(urlsplit(gateway.base_url).netloc, timeout=20)
        try:
            connection.request(method, f"/resource_server{path}", None if method == "GET" else payload, sent)
            response = connection.getresponse()
            return Got(response.status, dict(response.headers), response.read())
        finally:
            connection.close()

    return call
