"""A gateway in a thread of a test (`Gateway`), or alone until a signal (`serve`)."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import threading
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TextIO

from metis_flow.testing.gateway.app import CONTROL, App
from metis_flow.testing.gateway.core import Core
from metis_flow.testing.gateway.handle import Handle
from metis_flow.testing.gateway.options import Options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType


@asynccontextmanager
async def listening(options: Options, control_key: str | None) -> AsyncIterator[App]:
    """A gateway that listens on 127.0.0.1 while the block runs."""
    from aiohttp.web import Server, ServerRunner, TCPSite

    core = Core(options)
    app = App(core, control_key)
    runner = ServerRunner(Server(app.handle, access_log=None), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = TCPSite(runner, "127.0.0.1", options.port, backlog=1024)
        await site.start()
        app.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield app
    finally:
        await runner.cleanup()
        await core.close()


class Gateway(Handle):
    """A gateway for the length of a ``with`` block, on an event loop in a thread of its own.

    Takes the fields of `Options`. A rule that raised is raised again at the end of the block.

    >>> with Gateway(rule=lambda body, n: f"answer {n}", speed=60) as gateway:
    ...     use(gateway.openai_url, gateway.token)
    ...     assert gateway.counts.answered == 1
    """

    def __init__(self, rule: Any = None, **options: Any) -> None:
        self.options = Options(rule=rule, **options)
        self.token = ""
        self._ready: Future[App] = Future()
        self._thread = threading.Thread(target=self._run, name="metis-gateway", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def __enter__(self) -> Gateway:
        self._thread.start()
        self._app = self._ready.result()
        self.base_url = self._app.base_url
        self.token = self._app.core.token
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if error is None and self._app.core.rule_errors:
            raise self._app.core.rule_errors[0]

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with listening(self.options, None) as app:
            self._ready.set_result(app)
            await self._stop.wait()

    def _ask(self, verb: str, **arguments: Any) -> Any:
        async def ask() -> Any:
            return self._app.control.do(verb, arguments)

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result()


def serve(options: Options, out: TextIO | None = None) -> None:
    """Run a gateway until SIGTERM or SIGINT.

    Once it listens it prints one line of JSON: `base_url`, `gateway_url`, `openai_url`, `auth_url`, `token`,
    `control_url`, `control_key`, `pid`.

    Args:
        options: how to start it.
        out: where that line goes; stdout by default.
    """
    asyncio.run(_serve(options, out or sys.stdout))


async def _serve(options: Options, out: TextIO) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    key = secrets.token_urlsafe(24)
    async with listening(options, key) as app:
        gateway = f"{app.base_url}/resource_server"
        addresses = {
            "base_url": app.base_url,
            "gateway_url": gateway,
            "openai_url": f"{gateway}/metis/api/v1",
            "auth_url": f"{app.base_url}/",
            "token": app.core.token,
            "control_url": f"{app.base_url}{CONTROL}",
            "control_key": key,
            "pid": os.getpid(),
        }
        print(json.dumps(addresses), file=out, flush=True)
        await stop.wait()
