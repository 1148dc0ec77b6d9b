"""One HTTP client for all calls of a run: openai's own, on aiohttp, with retries and redirects left to us.

Requests go to that client as they are. What openai's `AsyncOpenAI.post` would add (options, retries, typed errors) is
ours anyway, and building each request through it takes longer than sending it: 0.65 against 0.30 ms of CPU a call,
where aiohttp by itself takes 0.15 (benchmarks/RESULTS.md).
"""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from metis_flow._version import __version__
from metis_flow.errors import LoginRequired
from metis_flow.inference import errors
from metis_flow.inference.http_client import http_client
from metis_flow.inference.refusal_bodies import read_refusal
from metis_flow.inference.refusals import error_of
from metis_flow.inference.tokens import mask

if TYPE_CHECKING:
    from httpx2 import URL, AsyncClient, Response

CONNECT_SECONDS = 20.0
KEEP_ALIVE_SECONDS = 30.0
HEADERS = {"Accept": "application/json", "User-Agent": f"metis-flow/{__version__}"}


@dataclass(frozen=True)
class Reply:
    """A 200: its body, its type, and the seconds that it took."""

    content: bytes
    content_type: str
    seconds: float


class Transport:
    """Sends bodies to an endpoint, and turns whatever goes wrong into an error of ours.

    Args:
        base_url: what paths are appended to.
        connections: most connections at a time.
        timeout: seconds to wait for an answer.
    """

    def __init__(self, base_url: str, *, connections: int, timeout: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._connections = connections
        self._timeout = timeout
        self._client: AsyncClient | None = None
        self._urls: dict[str, URL] = {}

    def open(self) -> None:
        """Make the client, on the running event loop."""
        import httpx2

        # Bodies of a megabyte are rare and end in a refusal: not worth the warning that aiohttp gives of them.
        warnings.filterwarnings("ignore", message="Sending a large body directly", category=ResourceWarning)
        # Proxies of the environment are used for https only: there they see no more than the host. Over plain http
        # they would see the token, and hosts that are reached that way are this machine or a neighbour.
        secure = urlsplit(self._base_url).scheme == "https"
        self._client = http_client(
            limits=httpx2.Limits(
                max_connections=self._connections,
                max_keepalive_connections=self._connections,
                keepalive_expiry=KEEP_ALIVE_SECONDS,
            ),
            timeout=httpx2.Timeout(self._timeout, connect=CONNECT_SECONDS, pool=None),
            follow_redirects=False,
            trust_env=secure,
        )

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def post(self, path: str, body: Any, token: str, *, model: str = "", remedy: str = "") -> Reply:
        """Send a JSON body.

        Args:
            path: appended to the base address.
            body: JSON data.
            token: sent as a bearer token; "" for none.
            model, remedy: for the words of an error.

        Raises:
            CallFailed, LoginRequired: no 200 came.
        """
        content = encode(body)
        return await self._send("POST", self._base_url + path, token, model=model, remedy=remedy, content=content)

    async def get(self, url: str, token: str, *, remedy: str = "") -> Reply:
        """Get a whole address.

        Raises:
            CallFailed, LoginRequired: no 200 came.
        """
        return await self._send("GET", url, token, model="", remedy=remedy, content=None)

    async def _send(
        self, method: str, address: str, token: str, *, model: str, remedy: str, content: bytes | None
    ) -> Reply:
        import aiohttp
        import httpx2

        if self._client is None:
            raise RuntimeError("the client is not open")
        began = time.perf_counter()
        try:
            request = httpx2.Request(method, self._url(address), headers=_headers(token, content), content=content)
            response = await self._client.send(request)
        except (httpx2.HTTPError, aiohttp.ClientError, ConnectionError) as error:
            failure: errors.CallFailed | LoginRequired = self._broken(error, token)
        else:
            if response.is_success:
                return Reply(response.content, response.headers.get("content-type", ""), time.perf_counter() - began)
            failure = self._refused(response, token, model, remedy, len(content or b""))
        # Raised out here, so that it has no context: the request that the original carries along holds the token.
        raise failure

    def _url(self, address: str) -> URL:
        """An address, parsed once."""
        if address not in self._urls:
            import httpx2

            self._urls[address] = httpx2.URL(address)
        return self._urls[address]

    def _refused(
        self, response: Response, token: str, model: str, remedy: str, sent: int
    ) -> errors.CallFailed | LoginRequired:
        text = mask(response.text, token)
        after = _seconds(response.headers.get("retry-after"))
        return error_of(read_refusal(response.status_code, text, model=model, sent=sent, remedy=remedy, after=after))

    def _broken(self, error: BaseException, token: str) -> errors.CallFailed:
        """The error of a connection that was not made, or did not last."""
        import ssl

        import aiohttp

        host = urlsplit(self._base_url).netloc
        chain = _chain(error)
        detail = mask(f"{type(chain[-1]).__name__}: {chain[-1]}", token)
        rows: list[tuple[tuple[type[BaseException], ...], type[errors.CallFailed], str, str]] = [
            (
                (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError),
                errors.ProxyTrouble,
                f"the proxy of the environment did not let the connection to {host} through",
                "check https_proxy and no_proxy",
            ),
            (
                (aiohttp.ClientConnectorCertificateError, ssl.SSLError),
                errors.CertificateRefused,
                f"the certificate of {host} is not one that this machine trusts",
                "check the address; a site's own certificates are named by SSL_CERT_FILE",
            ),
            (
                (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError),
                errors.Unreachable,
                f"no connection to {host} could be made",
                "check the address and the network; compute nodes need https_proxy",
            ),
            (
                (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, aiohttp.ClientOSError, ConnectionError),
                errors.ConnectionCut,
                "the connection was cut before the answer came",
                "try again later: metis-flow resume last",
            ),
            (
                (TimeoutError, asyncio.TimeoutError),
                errors.TimedOutWaiting,
                f"no answer came within {self._timeout:g} s",
                "ask for shorter answers, or raise limits.timeout in the endpoint's file",
            ),
        ]
        for kinds, made, summary, hint in rows:
            if any(isinstance(link, kinds) for link in chain):
                return made(summary, hint=hint, detail=detail)
        return errors.ConnectionCut(
            "the connection failed", hint="try again later: metis-flow resume last", detail=detail
        )


def _headers(token: str, content: bytes | None) -> dict[str, str]:
    headers = dict(HEADERS)
    if content is not None:
        headers["Content-Type"] = "application/json"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def encode(body: Any) -> bytes:
    """JSON as UTF-8; half characters, which UTF-8 cannot hold, are written as escapes.

    Raises:
        InvalidRequest: the data is not JSON.
    """
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.InvalidRequest(
            f"the request is not JSON: {error}", hint="check the model settings and messages of the step"
        ) from None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(body, separators=(",", ":")).encode()


def _chain(error: BaseException) -> list[BaseException]:
    """An error and what caused it, the root last."""
    links = [error]
    while (cause := links[-1].__cause__) is not None and cause not in links:
        links.append(cause)
    return links


def _seconds(header: str | None) -> float | None:
    """Seconds of a Retry-After header, where it gives seconds."""
    try:
        return min(max(0.0, float(header or "")), 3600.0)
    except ValueError:
        return None
