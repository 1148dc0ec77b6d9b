"""One HTTP client for all calls of a run: openai's own, on aiohttp, with retries and redirects left to us."""

from __future__ import annotations

import asyncio
import json
import os
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from metis_flow.errors import LoginRequired
from metis_flow.inference import errors
from metis_flow.inference.refusal_bodies import read_refusal
from metis_flow.inference.refusals import error_of
from metis_flow.inference.tokens import mask

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

CONNECT_SECONDS = 20.0
KEEP_ALIVE_SECONDS = 30.0


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
        self._base_url = base_url
        self._connections = connections
        self._timeout = timeout
        self._client: AsyncOpenAI | None = None
        self._cast: Any = None

    def open(self) -> None:
        """Make the client, on the running event loop."""
        import httpx2
        from openai import AsyncOpenAI, DefaultAioHttpClient, Omit

        # Bodies of a megabyte are rare and end in a refusal: not worth the warning that aiohttp gives of them.
        warnings.filterwarnings("ignore", message="Sending a large body directly", category=ResourceWarning)
        # Proxies of the environment are used for https only: there they see no more than the host. Over plain http
        # they would see the token, and hosts that are reached that way are this machine or a neighbour.
        secure = urlsplit(self._base_url).scheme == "https"
        timeout = httpx2.Timeout(self._timeout, connect=CONNECT_SECONDS, pool=None)
        http_client = DefaultAioHttpClient(
            limits=httpx2.Limits(
                max_connections=self._connections,
                max_keepalive_connections=self._connections,
                keepalive_expiry=KEEP_ALIVE_SECONDS,
            ),
            timeout=timeout,
            follow_redirects=False,
            trust_env=secure,
        )
        # What openai takes from the environment by itself is meant for another server, and may be secret.
        ambient = (line.partition(":")[0].strip() for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines())
        unwanted = {name: Omit() for name in ("OpenAI-Organization", "OpenAI-Project", *ambient) if name}
        self._client = AsyncOpenAI(
            api_key="given with each request",
            base_url=self._base_url,
            max_retries=0,
            timeout=timeout,
            default_headers=unwanted,  # type: ignore[arg-type]
            http_client=http_client,
        )
        self._cast = httpx2.Response

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
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
        return await self._send("post", path, token, model=model, remedy=remedy, content=content)

    async def get(self, url: str, token: str, *, remedy: str = "") -> Reply:
        """Get a whole address.

        Raises:
            CallFailed, LoginRequired: no 200 came.
        """
        return await self._send("get", url, token, model="", remedy=remedy, content=None)

    async def _send(
        self, method: str, path: str, token: str, *, model: str, remedy: str, content: bytes | None
    ) -> Reply:
        import aiohttp
        from openai import APIConnectionError, APIStatusError, Omit

        if self._client is None:
            raise RuntimeError("the client is not open")
        headers = {"Authorization": f"Bearer {token}" if token else Omit()}
        began = time.perf_counter()
        try:
            if content is None:
                response = await self._client.get(path, cast_to=self._cast, options={"headers": headers})
            else:
                options: Any = {"headers": headers}
                response = await self._client.post(path, cast_to=self._cast, content=content, options=options)
        except APIStatusError as error:
            failure: errors.CallFailed | LoginRequired = self._refused(error, token, model, remedy, len(content or b""))
        except (APIConnectionError, aiohttp.ClientError, ConnectionError) as error:
            failure = self._broken(error, token)
        else:
            return Reply(response.content, response.headers.get("content-type", ""), time.perf_counter() - began)
        # Raised out here, so that it has no context: the request that the original carries along holds the token.
        raise failure

    def _refused(
        self, error: APIStatusError, token: str, model: str, remedy: str, sent: int
    ) -> errors.CallFailed | LoginRequired:
        text = mask(error.response.text, token)
        after = _seconds(error.response.headers.get("retry-after"))
        return error_of(read_refusal(error.status_code, text, model=model, sent=sent, remedy=remedy, after=after))

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
