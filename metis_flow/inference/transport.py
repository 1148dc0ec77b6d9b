"""One HTTP client for all calls of a run: aiohttp, with retries and redirects left to us.

The openai package speaks to such servers too, and its client is built on aiohttp as well. What it would add (options,
retries, typed errors) is ours anyway, for it has to know the gateway, and it costs more than sending: of 0.65 ms of CPU
that `AsyncOpenAI.post` takes for a call, aiohttp takes 0.15 (benchmarks/RESULTS.md), and of the 1.3 s from the start of
a run to its first call, importing openai took 0.4.
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
from metis_flow.inference.refusal_bodies import read_refusal
from metis_flow.inference.refusals import error_of
from metis_flow.inference.surroundings import Proxy, certificates, proxy_for
from metis_flow.inference.tokens import mask

if TYPE_CHECKING:
    from aiohttp import ClientSession

CONNECT_SECONDS = 20.0
KEEP_ALIVE_SECONDS = 30.0
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
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
        self._session: ClientSession | None = None
        self._proxy: Proxy | None = None

    def open(self) -> None:
        """Make the client, on the running event loop.

        Raises:
            ConfigError: the proxy or the certificates that the environment names cannot be used.
        """
        import aiohttp

        # Bodies of a megabyte are rare and end in a refusal: not worth the warning that aiohttp gives of them.
        warnings.filterwarnings("ignore", message="Sending a large body directly", category=ResourceWarning)
        is_secure = urlsplit(self._base_url).scheme == "https"
        # Proxies of the environment are used for https only: there they see no more than the host. Over plain http
        # they would see the token, and hosts that are reached that way are this machine or a neighbour.
        self._proxy = proxy_for(self._base_url) if is_secure else None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                ssl=certificates() if is_secure else True,
            ),
            timeout=aiohttp.ClientTimeout(
                # sock_read begins when the body has been sent: one that nobody takes in would be waited for without end
                total=CONNECT_SECONDS + 2 * self._timeout,
                sock_connect=CONNECT_SECONDS,
                sock_read=self._timeout,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            trust_env=False,  # it would look for a .netrc and a proxy anew at each call, in a thread
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

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

        if self._session is None:
            raise RuntimeError("the client is not open")
        began = time.perf_counter()
        try:
            async with self._session.request(
                method,
                address,
                data=content,
                headers=_headers(token, content),
                proxy=self._proxy.address if self._proxy is not None else None,
                proxy_headers=self._proxy.headers if self._proxy is not None else None,
                allow_redirects=False,
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, ConnectionError, asyncio.TimeoutError) as error:
            failure: errors.CallFailed | LoginRequired = self._broken(error, token)
        else:
            told = response.headers
            if response.status < 300:
                return Reply(answer, told.get("Content-Type", ""), time.perf_counter() - began)
            text = mask(answer.decode("utf-8", errors="replace"), token)
            refusal = read_refusal(
                response.status,
                text,
                model=model,
                sent=len(content or b""),
                remedy=remedy,
                after=_seconds(told.get("Retry-After")),
            )
            failure = error_of(refusal)
        # Raised out here, so that it has no context: the request that the original carries along holds the token.
        raise failure

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
    headers = {"Content-Type": "application/json"} if content is not None else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def encode(body: Any) -> bytes:
    """JSON as UTF-8; half characters, which UTF-8 cannot hold, are written as escapes.

    Raises:
        InvalidRequest: the data is not JSON.
    """
    try:
        text = _ENCODER.encode(body)
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
