"""A small OpenAI-compatible server on loopback, which answers as each test says."""

from __future__ import annotations

import asyncio
import heapq
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from metis_flow.inference.answers import Answer, ChatRequest
from metis_flow.inference.client import Inference
from metis_flow.inference.endpoints import EndpointConfig


@dataclass
class Reply:
    """What the server sends.

    Args:
        document: JSON, or text as it is.
        cut: end the connection without an answer.
    """

    document: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    cut: bool = False


Handler = Callable[[Any, int], "Reply | Awaitable[Reply]"]


@dataclass
class Server:
    """A running server: its address, and what it was sent."""

    base_url: str
    bodies: list[Any] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def endpoint(self, **fields: Any) -> EndpointConfig:
        data = {"name": "local", "source": Path("local.yaml"), "kind": "openai", "base_url": self.base_url, **fields}
        return EndpointConfig.model_validate(data)


def completion(text: str | None = "fine", *, finish: str | None = "stop", tokens: int = 10, **message: Any) -> Reply:
    """A chat completion."""
    return Reply(
        {
            "id": "c1",
            "object": "chat.completion",
            "model": "served",
            "choices": [
                {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text} | message}
            ],
            "usage": {"prompt_tokens": 4, "completion_tokens": tokens - 4, "total_tokens": tokens},
        }
    )


@asynccontextmanager
async def serving(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Serve on loopback, over https with `tls`; the handler gets the body and the number of the request."""
    server = Server("")

    async def handle(request: web.Request) -> web.StreamResponse:
        n = len(server.bodies)
        text = await request.text()
        server.bodies.append(json.loads(text) if text else None)
        server.tokens.append(request.headers.get("Authorization"))
        server.paths.append(request.path_qs)
        server.headers.append(dict(request.headers))
        made = handler(server.bodies[-1], n)
        reply = made if isinstance(made, Reply) else await made
        if reply.cut:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        text = reply.document if isinstance(reply.document, str) else json.dumps(reply.document)
        return web.Response(text=text, status=reply.status, headers=reply.headers, content_type=reply.content_type)

    app = web.Application(client_max_size=2**28)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server.base_url = f"http{'s' if tls is not None else ''}://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened(endpoint: EndpointConfig, **options: Any) -> AsyncIterator[Inference]:
    inference = Inference(endpoint, **options)
    await inference.open()
    try:
        yield inference
    finally:
        await inference.close()


async def get(inference: Inference, text: str = "hello", model: str = "m", **settings: Any) -> Answer:
    """The answer to one user's message."""

    async def settle(answer: Answer) -> Answer:
        return answer

    request = ChatRequest(model, [{"role": "user", "content": text}], settings)
    return await inference.call(request, settle)


class HastyClock:
    """A clock that goes straight to the next thing to happen whenever nothing else is going on."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.Handle:
        self.waits.append(round(max(0.0, when - self.time), 3))

        def arrive() -> None:
            self.time = max(self.time, when)
            callback()

        return asyncio.get_running_loop().call_soon(arrive)


class EventClock:
    """Time that goes on when nothing else can happen."""

    def __init__(self) -> None:
        self.time = 0.0
        self._events: list[tuple[float, int, list[Callable[[], None] | None]]] = []
        self._count = 0

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        self._count += 1
        cell: list[Callable[[], None] | None] = [callback]
        heapq.heappush(self._events, (when, self._count, cell))

        class Timer:
            def cancel(self) -> None:
                cell[0] = None

        return Timer()

    async def run(self, task: asyncio.Future[Any]) -> None:
        """Until the task is done."""
        while not task.done():
            for _ in range(6):
                await asyncio.sleep(0)
            while self._events and self._events[0][2][0] is None:
                heapq.heappop(self._events)
            if self._events and not task.done():
                when, _, cell = heapq.heappop(self._events)
                self.time = max(self.time, when)
                if cell[0] is not None:
                    cell[0]()
        task.result()
