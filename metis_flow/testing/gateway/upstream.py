"""The server behind the gateway: what its failures become, and how a request is passed on to a real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from metis_flow.testing.gateway.shapes import Refusal, endpoint_error, internal_error

if TYPE_CHECKING:
    from aiohttp import ClientSession

PRETENDED_URL = "https://sn40l.invalid/v1/chat/completions"

_REFUSED = "All connection attempts failed"
_DROPPED = "peer closed connection without sending complete message body (incomplete chunked read)"


class UpstreamFailure(Exception):
    """The upstream gave no good answer.

    Args:
        refusal: what the client of an ordinary call gets.
        text: what the client of a stream reads in its text.
    """

    def __init__(self, refusal: Refusal, text: str) -> None:
        super().__init__(text)
        self.refusal = refusal
        self.text = text


def status_failure(status: int, body: bytes, url: str = PRETENDED_URL) -> UpstreamFailure:
    """It answered with an error."""
    message = f"Upstream endpoint returned {status}: {body[:256]!r}."
    said = f"Error: Could not send stream API call to {url}: {body.decode(errors='replace').strip()}"
    return UpstreamFailure(
        endpoint_error(f"upstream_{status}", status, message),
        f"Error: Unexpected error calling stream API: {said}",
    )


def simulated_status(status: int) -> UpstreamFailure:
    """It answers with an error that says so."""
    error = {"message": f"simulated upstream {status}", "type": "simulated", "code": None, "param": None}
    return status_failure(status, json.dumps({"error": error}).encode())


def timeout_failure(timeout: float, url: str = PRETENDED_URL) -> UpstreamFailure:
    """It took longer than `timeout` gateway seconds."""
    limit = int(timeout) if timeout == int(timeout) else timeout
    return UpstreamFailure(
        endpoint_error("504", 504, f"Timeout calling {url}.", {"timeout": limit}),
        f"Error: Timeout calling stream API at {url} (timeout: {limit})",
    )


def connection_failure(kind: str, url: str = PRETENDED_URL) -> UpstreamFailure:
    """It could not be reached (`refused`), or broke off (`dropped`)."""
    reason = _REFUSED if kind == "refused" else _DROPPED
    return UpstreamFailure(
        endpoint_error(kind, 500, f"HTTP error calling API at {url}: {reason}"),
        f"Error: HTTP error calling stream API at {url}: {reason}",
    )


class Upstream:
    """A real server that answers. One event loop uses it.

    Args:
        base_url: its address up to and with ``/v1``.
        key: sent as a bearer token.
        timeout: real seconds after which it is given up.
    """

    def __init__(self, base_url: str, key: str | None, timeout: float) -> None:
        self.url = f"{base_url.rstrip('/')}/chat/completions"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = timeout
        self._session: ClientSession | None = None

    def _open(self) -> ClientSession:
        from aiohttp import ClientSession, ClientTimeout

        if self._session is None:
            timeout = ClientTimeout(total=None, connect=self._timeout, sock_read=self._timeout)
            self._session = ClientSession(timeout=timeout, headers=self._headers)
        return self._session

    async def close(self) -> None:
        """End its connections."""
        if self._session is not None:
            await self._session.close()

    async def complete(self, body: dict[str, Any]) -> tuple[bytes, Any]:
        """The body of its answer, and what that says.

        Raises:
            UpstreamFailure: it gave none.
        """
        raw = b"".join([part async for part in self.stream(body)])
        try:
            return raw, json.loads(raw)
        except ValueError:
            raise UpstreamFailure(internal_error("upstream_not_json"), "") from None

    async def stream(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        """The body of its answer as it comes.

        Raises:
            UpstreamFailure: it gave none, or broke off.
        """
        from aiohttp import ClientConnectorError, ClientError

        try:
            async with self._open().post(self.url, json=body) as response:
                if not 200 <= response.status < 300:
                    raise status_failure(response.status, await response.read(), self.url)
                async for part in response.content.iter_any():
                    yield part
        except asyncio.TimeoutError:
            raise timeout_failure(self._timeout, self.url) from None
        except ClientConnectorError:
            raise connection_failure("refused", self.url) from None
        except ClientError:
            raise connection_failure("dropped", self.url) from None
