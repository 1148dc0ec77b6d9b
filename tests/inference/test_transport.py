"""Connections: cut, refused, redirected, slow, through a proxy; and what becomes of the token on the way."""

from __future__ import annotations

import asyncio
import logging
import pickle
import socket
from typing import Any

import pytest
from inference_kit import HastyClock, Reply, completion, get, opened, serving

from metis_flow.errors import LoginRequired, MetisFlowError
from metis_flow.inference import errors, transport

SECRET = "s3cret-token-value"
AUTH = {"kind": "env", "variable": "MY_KEY"}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)


def fails_with(reply: Reply, kind: type[MetisFlowError]) -> tuple[MetisFlowError, list[str | None]]:
    """The error of a server that always answers so, and the tokens it was sent."""

    async def main() -> tuple[MetisFlowError, list[str | None]]:
        async with (
            serving(lambda body, n: reply) as server,
            opened(server.endpoint(auth=AUTH), clock=HastyClock()) as inference,
        ):
            with pytest.raises(kind) as caught:
                await get(inference)
            return caught.value, server.tokens

    return asyncio.run(main())


def test_a_redirection_is_not_followed() -> None:
    async def main() -> None:
        async with serving(lambda body, n: completion()) as thief:
            reply = Reply("", status=307, headers={"Location": thief.base_url + "/chat/completions"})
            async with serving(lambda body, n: reply) as server, opened(server.endpoint(auth=AUTH)) as inference:
                with pytest.raises(errors.Redirected) as caught:
                    await get(inference)
                assert caught.value.summary == (
                    "the server answered 307, a redirection; a token is not taken to another address"
                )
                assert server.tokens == [f"Bearer {SECRET}"]
                assert thief.tokens == []

    asyncio.run(main())


def test_a_cut_connection_is_tried_again() -> None:
    async def main() -> None:
        replies = [Reply(cut=True), Reply(cut=True), completion("there")]
        async with (
            serving(lambda body, n: replies[n]) as server,
            opened(server.endpoint(), clock=HastyClock()) as inference,
        ):
            assert (await get(inference)).text == "there"
            assert inference.snapshot().retries == {"connection_cut": 2}

    asyncio.run(main())


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    async def main() -> None:
        clock = HastyClock()
        async with serving(lambda body, n: completion()) as server:
            endpoint = server.endpoint(base_url=f"http://127.0.0.1:{port}/v1")
            async with opened(endpoint, clock=clock) as inference:
                with pytest.raises(errors.Unreachable) as caught:
                    await get(inference)
        assert caught.value.summary == f"no connection to 127.0.0.1:{port} could be made"
        assert caught.value.hint == "check the address and the network; compute nodes need https_proxy"
        assert clock.waits == [1.0, 2.0, 4.0, 8.0, 16.0]

    asyncio.run(main())


def test_no_answer_in_time() -> None:
    async def slow(body: Any, n: int) -> Reply:
        await asyncio.sleep(30 if n < 1 else 0)
        return completion("there")

    async def main() -> None:
        async with (
            serving(slow) as server,
            opened(server.endpoint(limits={"timeout": 0.2}), clock=HastyClock()) as inference,
        ):
            assert (await get(inference)).text == "there"
            assert inference.snapshot().retries == {"timed_out": 1}

    asyncio.run(main())


def test_a_token_that_the_server_does_not_take_pauses_the_run() -> None:
    reply = Reply({"error": {"code": "invalid_api_key", "message": f"Incorrect key: {SECRET}"}}, status=401)
    error, sent = fails_with(reply, LoginRequired)
    assert sent == [f"Bearer {SECRET}"], "not tried again with the same token"
    assert error.summary == "the endpoint 'local' does not accept the token"
    assert error.hint == "type: export MY_KEY=… with a valid key"
    assert error.detail == "HTTP 401 invalid_api_key: Incorrect key: •••"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 422, 500, 503])
def test_an_upstream_that_repeats_the_token_is_masked(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error, _ = fails_with(Reply({"error": {"code": "x", "message": f"bad {SECRET}"}}, status=status), MetisFlowError)
    assert error.__cause__ is None
    for text in (error.render(), repr(error), str(error.as_dict()), repr(pickle.dumps(error)), caplog.text):
        assert SECRET not in text


def test_the_token_is_in_no_repr() -> None:
    async def main() -> None:
        async with (
            serving(lambda body, n: completion()) as server,
            opened(server.endpoint(auth=AUTH)) as inference,
        ):
            await get(inference)
            for thing in (inference, inference.endpoint, inference._tokens, inference._transport):
                assert SECRET not in repr(thing)

    asyncio.run(main())


async def proxy(seen: list[bytes]) -> asyncio.Server:
    """A proxy that notes what it is asked, and lets nothing through."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return await asyncio.start_server(handle, "127.0.0.1", 0)


def test_https_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        seen: list[bytes] = []
        server = await proxy(seen)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        monkeypatch.setenv("https_proxy", address)
        monkeypatch.setenv("http_proxy", address)
        async with server, serving(lambda body, n: completion()) as local:
            far = local.endpoint(base_url="https://metis.example.org/v1", auth=AUTH)
            async with opened(far, clock=HastyClock()) as inference:
                with pytest.raises(errors.ProxyTrouble) as caught:
                    await get(inference)
            assert caught.value.summary == (
                "the proxy of the environment did not let the connection to metis.example.org through"
            )
            assert seen[0].startswith(b"CONNECT metis.example.org:443 ")
            assert SECRET.encode() not in b"".join(seen)
            seen.clear()
            async with opened(local.endpoint(auth=AUTH)) as inference:
                assert (await get(inference)).text == "fine"
            assert seen == [], "plain http does not: a proxy would see the token"

    asyncio.run(main())


def test_a_body_that_nobody_takes_in_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.2)

    async def main() -> None:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen()
            client = transport.Transport(f"http://127.0.0.1:{deaf.getsockname()[1]}", connections=1, timeout=0.2)
            client.open()
            with pytest.raises(errors.TimedOutWaiting):
                await client.post("/chat/completions", {"text": "x" * 20_000_000}, "")
            await client.close()

    asyncio.run(main())
