"""The application as HTTP: who may ask, what is answered."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from metis_flow.errors import RecordError, UsageError
from metis_flow.views.ui.runs import Runs
from metis_flow.views.ui.runs_page import runs_html, runs_rows

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    Scope = MutableMapping[str, Any]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        UsageError: the address is not this machine's, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        hint = "take another one with --port, or leave it out for a free one"
        raise UsageError(f"nothing can listen there: {error.strerror}", where=f"{host}:{port}", hint=hint) from None
    return listener


def new_token() -> str:
    """The secret part of the address."""
    return secrets.token_urlsafe(24)


def serve(runs_dir: Path, token: str, listener: socket.socket, *, exposed_host: str | None = None) -> None:
    """Answer until the process is told to end.

    Args:
        exposed_host: where it listens, if others than this machine may ask.
    """
    import uvicorn

    app = Guard(make_app(Runs(runs_dir)), token, exposed_host=exposed_host)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", ws="none", proxy_headers=False, server_header=False
    )
    uvicorn.Server(config).run(sockets=[listener])


class Guard:
    """Lets through who knows the token, asks only to read, and means this server.

    A page of a foreign site may send requests here from the user's own browser: it does not know the token, and what
    it sends under a name of its own (that it has pointed at this machine) has that name as its host.

    Args:
        app: what stands behind it; it sees addresses without the token.
        exposed_host: as for `serve`.
    """

    def __init__(self, app: Starlette, token: str, *, exposed_host: str | None = None) -> None:
        self._app = app
        self._token = token
        self._exposed = exposed_host is not None
        own = {socket.gethostname(), socket.getfqdn(), exposed_host or ""} if self._exposed else set()
        self._hosts = LOOPBACK | own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        inner = dict(scope)
        inner["path"] = inner["path"][len(self._token) + 1 :] or "/"
        inner["raw_path"] = inner["path"].encode()

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *more]
            await send(message)

        await self._app(inner, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        from starlette.responses import PlainTextResponse

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._is_own(headers.get("host", "")):
            return PlainTextResponse("this server has another name\n", 421)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("there is nothing to change here\n", 405, {"allow": "GET, HEAD"})
        _, _, rest = scope["path"].partition("/")
        first, slash, _ = rest.partition("/")
        if not secrets.compare_digest(first.encode(), self._token.encode()):
            text = "the address lacks its secret part: use the whole one that `metis-flow ui` printed\n"
            return PlainTextResponse(text, 403)
        if ".." in scope["path"] or "\\" in scope["path"] or "\0" in scope["path"]:
            return PlainTextResponse("there is no such address\n", 400)
        return None if slash else PlainTextResponse("add a / to the address\n", 404)

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._hosts:
            return True
        return self._exposed and _is_address(name)


def make_app(runs: Runs) -> Starlette:
    """The addresses and their answers."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    def run_of(request: Request) -> Any:
        run = runs.find(request.path_params["run"])
        if run is None:
            raise HTTPException(404, "there is no such run\n")
        return run

    def home(request: Request) -> Response:
        return HTMLResponse(runs_html(runs.lines(), runs.folder))

    def rows(request: Request) -> Response:
        return HTMLResponse(runs_rows(runs.lines()))

    def page(request: Request) -> Response:
        return HTMLResponse(runs.page(run_of(request)))

    def news(request: Request) -> Response:
        found = runs.news(run_of(request), request.query_params.get("version", ""))
        return Response(status_code=204) if found is None else JSONResponse(found)

    def instance(request: Request) -> Response:
        found = runs.instance(run_of(request), request.query_params.get("address", ""))
        return PlainTextResponse("there is no such instance\n", 404) if found is None else JSONResponse(found)

    def damaged(request: Request, error: Exception) -> Response:
        return PlainTextResponse(error.render() + "\n" if isinstance(error, RecordError) else str(error), 500)

    routes = [
        Route("/", home),
        Route("/rows", rows),
        Route("/runs/{run}/", page),
        Route("/runs/{run}/news", news),
        Route("/runs/{run}/instance", instance),
    ]
    return Starlette(routes=routes, exception_handlers={RecordError: damaged})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
