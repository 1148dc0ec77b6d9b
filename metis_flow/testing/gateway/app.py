"""The routes, and the order of the checks.

Proxy in front (size, address rate), session header, route, method, token, requests a second, body, cluster,
maintenance, framework and endpoint, model, permission, tokens a minute, status page, live, upstream.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metis_flow.testing.gateway import bodies, shapes
from metis_flow.testing.gateway.chat import Chat, answer
from metis_flow.testing.gateway.control import Control
from metis_flow.testing.gateway.core import Core
from metis_flow.testing.gateway.faults import SPELLS
from metis_flow.testing.gateway.ledger import request_hash
from metis_flow.testing.gateway.models import not_live, slug, under_maintenance
from metis_flow.testing.gateway.options import CLUSTER, FRAMEWORK, Person
from metis_flow.testing.gateway.shapes import Answer, Cut, Refusal, coded, document

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse

PREFIX = "/resource_server/"
CONTROL = "/_control/"
_MODEL_ROUTES = ("chat/completions", "completions", "embeddings", "responses", "messages", "batches")
_SESSION_HEADER = "X-ALCF-Session-ID"


@dataclass
class Visit:
    """What is known of a request, for the ledger."""

    route: str = "nowhere"
    user: str | None = None
    key: str | None = None
    body: dict[str, Any] | None = None
    kind: str = "cut"


class App:
    """Answers every request of one gateway.

    Args:
        core: its state.
        control_key: what opens the control routes; None for nothing does.
    """

    def __init__(self, core: Core, control_key: str | None) -> None:
        self.core = core
        self.control = Control(core)
        self.base_url = ""  # known once the server listens
        self._control_key = control_key

    async def handle(self, request: BaseRequest) -> StreamResponse:
        """Answer one request."""
        if request.path.startswith(CONTROL):
            return _response(await self._control(request))
        began = time.monotonic()
        visit = Visit()
        found: Answer | StreamResponse | None = None
        try:
            found = await self._dispatch(request, visit)
        except Refusal as refusal:
            found = refusal.answer
        except Cut as cut:
            visit.kind = cut.kind
            await _cut(request, cut)
        except ConnectionError:
            visit.kind = "client_gone"
        status = 0 if found is None else found.status
        kind = found.kind if isinstance(found, Answer) else visit.kind
        seconds = time.monotonic() - began
        self.core.ledger.add(
            visit.route, status, kind, user=visit.user, key=visit.key, body=visit.body, seconds=seconds
        )
        # For a connection that ended, what is returned here reaches nobody.
        return found if found is not None and not isinstance(found, Answer) else _response(found)

    async def _dispatch(self, request: BaseRequest, visit: Visit) -> Answer | StreamResponse:
        path = request.path
        if not path.startswith(PREFIX):
            return await self._auth_service(request, path, visit)
        if (request.content_length or 0) > bodies.LARGEST_UPLOAD:
            raise Refusal(shapes.proxy_page("413", 413))
        self.core.rates.take_address(request.remote or "")
        _check_session(request.headers.get(_SESSION_HEADER))
        parts = path[len(PREFIX) :].split("/")
        route, method = _find_route(parts)
        visit.route = route
        if request.method != method:
            raise shapes.not_allowed(method)
        if route in ("health", "status"):
            self.core.rates.take_user(f"anonymous {request.remote}")
            up = {"status": "ok"} if route == "health" else {CLUSTER: self.core.models.maintenance is None}
            return document(route, up)
        if method == "GET":
            return self._read(request, route, parts, self._person(request, visit))
        if route == "batches":
            return await self._batch(request, parts, self._person(request, visit))
        return await self._chat(request, route, parts, visit)

    def _person(self, request: BaseRequest, visit: Visit, *, globus_down: bool = False) -> Person:
        person = self.core.access.person(request.headers.get("Authorization"), globus_down=globus_down)
        visit.user = person.id
        self.core.rates.take_user(person.id)
        return person

    # -- documents

    def _read(self, request: BaseRequest, route: str, parts: list[str], person: Person) -> Answer:
        models = self.core.models
        if route == "whoami":
            return document(route, person.as_whoami())
        if route == "list-endpoints":
            return document(route, models.list_endpoints(person))
        if route == "batches":
            if len(parts) > 2:
                raise coded("404_batch", 404, "batch_not_found", f"Batch {parts[2]} does not exist")
            return document(route, [])
        _check_cluster(parts[0])
        if route == "jobs":
            return document(route, models.jobs(person))
        return document(route, models.details(person, request.query.get("model_id")))

    async def _batch(self, request: BaseRequest, parts: list[str], person: Person) -> Answer:
        requested = bodies.check_batch(await _read_body(request))
        _check_cluster(parts[0])
        self.core.models.check_maintenance()
        if parts[1] != FRAMEWORK:
            text = f"Framework {parts[1]!r} not available on cluster {parts[0]!r}."
            raise coded("400_framework", 400, "unsupported_framework", text)
        model = self.core.models.find(requested)
        text = f"Batch is unavailable for endpoint {slug(f'{CLUSTER} {FRAMEWORK} {model.name}')}"
        raise coded("400_batch", 400, "batch_unavailable", text)

    # -- chat

    async def _chat(self, request: BaseRequest, route: str, parts: list[str], visit: Visit) -> Answer | StreamResponse:
        core = self.core
        spells = core.plan.spells_at(core.arrivals, core.clock.now())
        core.arrivals += 1
        for spell in spells:
            if spell in SPELLS:
                core.ledger.faults[spell] += 1
        if "token_expiry" in spells:
            core.access.expire()
        person = self._person(request, visit, globus_down="globus_outage" in spells)
        body = bodies.parse(await _read_body(request))
        visit.key, visit.body = request_hash(body), body
        outbound = bodies.check(route, body)
        _check_cluster(parts[0])
        if "maintenance" in spells:
            raise under_maintenance("Metis is under maintenance.")
        core.models.check_maintenance()
        _check_endpoint(parts[0], parts[1], route)
        model = core.models.find(outbound["model"])
        core.models.check_permission(model, person)
        core.rates.check_tokens(model, person.id)
        if "not_live" in spells:
            raise not_live(model)
        core.models.check_live(model)
        outbound["model"] = model.name
        fault = next((spell for spell in spells if spell not in SPELLS), None) or core.plan.draw()
        chat = Chat(request, person, model, outbound, visit.key, fault)
        try:
            return await answer(core, chat)
        finally:
            visit.kind = chat.kind

    # -- Globus Auth

    async def _auth_service(self, request: BaseRequest, path: str, visit: Visit) -> Answer:
        globus = self.core.globus
        route, method = _AUTH_ROUTES.get(path, ("", ""))
        if not route:
            raise shapes.not_found()
        visit.route = route
        if request.method != method:
            raise shapes.not_allowed(method)
        if method == "POST":
            form = await _read_form(request)
            return await globus.token(form) if route == "oauth2/token" else globus.revoke(form)
        if route == "oauth2/authorize":
            return globus.authorize(request.query, self.base_url)
        if route == "auth-code":
            return globus.show_code(request.query)
        return globus.keys() if route == "jwk" else globus.configuration(self.base_url)

    # -- control

    async def _control(self, request: BaseRequest) -> Answer:
        key = request.headers.get("X-Control-Key", "")
        if self._control_key is None or not hmac.compare_digest(key.encode(), self._control_key.encode()):
            return document("control", {"error": "the control key is missing or wrong"}, 403)
        try:
            raw = await request.content.read()
            result = self.control.do(request.path[len(CONTROL) :], json.loads(raw) if raw else {})
        except ValueError as error:
            return document("control", {"error": str(error)}, 400)
        return document("control", result)


_AUTH_ROUTES = {
    "/v2/oauth2/token": ("oauth2/token", "POST"),
    "/v2/oauth2/token/revoke": ("oauth2/token/revoke", "POST"),
    "/v2/oauth2/authorize": ("oauth2/authorize", "GET"),
    "/v2/web/auth-code": ("auth-code", "GET"),
    "/jwk.json": ("jwk", "GET"),
    "/.well-known/openid-configuration": ("openid-configuration", "GET"),
}


def _find_route(parts: list[str]) -> tuple[str, str]:
    """The name of a route, and its method."""
    if all(parts):
        if len(parts) == 1 and parts[0] in ("health", "status", "whoami", "list-endpoints"):
            return parts[0], "GET"
        if parts[:2] == ["v1", "batches"] and (len(parts) < 4 or parts[3:] == ["result"]):
            return "batches", "GET"
        if len(parts) == 2 and parts[1] in ("jobs", "models"):
            return parts[1], "GET"
        last = "/".join(parts[3:])
        if len(parts) > 3 and parts[2] == "v1" and last in _MODEL_ROUTES:
            return last, "POST"
    raise shapes.not_found()


def _check_session(value: str | None) -> None:
    if value and (len(value) > 128 or any(not "!" <= letter <= "~" for letter in value)):
        text = f"{_SESSION_HEADER} must contain at most 128 visible ASCII bytes"
        raise shapes.detail("400_session", 400, text, "application/json")


def _check_cluster(name: str) -> None:
    if name != CLUSTER:
        raise coded("404_cluster", 404, "cluster_not_found", f"The requested cluster {name!r} does not exist.")


def _check_endpoint(cluster: str, framework: str, route: str) -> None:
    if framework != FRAMEWORK:
        text = f"framework {framework} not available on cluster {cluster}."
        raise coded("400_framework", 400, "unsupported_framework", text)
    if route != "chat/completions":
        text = f"{route!r} not available on cluster {cluster!r}"
        raise coded("400_endpoint", 400, "unsupported_endpoint", text)


async def _read_body(request: BaseRequest) -> bytes:
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await request.content.read()


async def _read_form(request: BaseRequest) -> Mapping[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl((await _read_body(request)).decode(), keep_blank_values=True))


def _response(found: Answer | None) -> StreamResponse:
    from aiohttp.web import Response

    if found is None:
        return Response()
    response = Response(status=found.status, body=found.body, headers={"Content-Type": found.content_type})
    response.headers.extend(found.headers)
    return response


async def _cut(request: BaseRequest, cut: Cut) -> None:
    """End the connection, after the beginning of an answer where there is one."""
    from aiohttp.web import StreamResponse

    if cut.beginning:
        response = StreamResponse(headers={"Content-Type": shapes.JSON})
        response.content_length = 2 * len(cut.beginning) + 1
        await response.prepare(request)
        await response.write(cut.beginning)
    if request.transport is not None:
        request.transport.close()
