"""One chat completion, from a request that may be answered to its answer."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metis_flow.testing.gateway import access, models, rates, shapes, streams
from metis_flow.testing.gateway.core import Core
from metis_flow.testing.gateway.faults import upstream_status
from metis_flow.testing.gateway.options import Model, Person
from metis_flow.testing.gateway.replies import Reply, completion, damaged, total_tokens
from metis_flow.testing.gateway.shapes import Answer, Cut, Refusal
from metis_flow.testing.gateway.upstream import (
    Upstream,
    UpstreamFailure,
    connection_failure,
    simulated_status,
    timeout_failure,
)

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse


@dataclass
class Chat:
    """A chat request that passed all checks.

    Args:
        request: the HTTP request.
        person: who asks.
        model: of whom.
        body: as the upstream gets it.
        key: its `request_hash`.
        fault: what goes wrong with it.
        kind: what came of it, for the ledger.
    """

    request: BaseRequest
    person: Person
    model: Model
    body: dict[str, Any]
    key: str
    fault: str | None = None
    kind: str = "answer"

    @property
    def model_name(self) -> str:
        """What the model calls itself in an answer."""
        return self.model.reported_name or self.model.name

    @property
    def gone(self) -> bool:
        """Whether the client no longer waits."""
        transport = self.request.transport
        return transport is None or transport.is_closing()


async def answer(core: Core, chat: Chat) -> Answer | StreamResponse:
    """Answer it, or fail as its fault says.

    Raises:
        Refusal: the answer is an error.
        Cut: the connection ends.
    """
    core.ledger.enter()
    try:
        if core.upstream is not None and chat.fault is None:
            return await _pass_on(core, chat, core.upstream)
        fault = chat.fault
        reply = Reply()
        if not _is_whole(fault):
            reply = await _ask_rule(core, chat)
            fault = chat.fault = fault or reply.fault
        if fault is not None:
            core.ledger.faults[fault] += 1
            chat.kind = fault
        _refuse(core, chat, fault)
        reply = damaged(reply, fault)
        send = _stream if chat.body["stream"] else _complete
        return await send(core, chat, reply)
    finally:
        core.ledger.leave()


# -- the rule and what is wrong with its reply

#: Faults of an answer that there is; all others come in place of one.
_OF_AN_ANSWER = frozenset(
    {"null_content", "empty_content", "reasoning", "think", "markup", "length", "cut_mid", "sse_error", "no_done"}
)


def _is_whole(fault: str | None) -> bool:
    return fault is not None and fault not in _OF_AN_ANSWER and fault not in streams.STREAM_FAULTS


async def _ask_rule(core: Core, chat: Chat) -> Reply:
    number = core.answers
    core.answers += 1
    try:
        found = core.rule(chat.body, number)
        if inspect.isawaitable(found):
            found = await found
        return Reply.of(found)
    except Refusal:
        raise
    except Exception as error:
        # Shown to the test at its end; to the client it is a server that broke.
        core.rule_errors.append(error)
        raise shapes.internal_error("rule_error") from error


def _refuse(core: Core, chat: Chat, fault: str | None) -> None:
    """Raise what a fault puts in place of an answer of any form."""
    if fault == "401_inactive":
        raise access.inactive()
    if fault == "401_globus":
        raise access.globus_unavailable()
    if fault == "429_requests":
        raise rates.too_many_requests()
    if fault == "429_nginx":
        raise shapes.address_rate()
    if fault == "429_tokens":
        raise rates.tokens_used_up(*core.rates.usage(chat.model, chat.person.id))
    if fault == "500_internal":
        raise shapes.internal_error()
    if fault in ("500_jobs", "504_jobs"):
        raise models.status_page_failure("timeout" if fault == "504_jobs" else "broken")
    if fault == "503_maintenance":
        raise models.under_maintenance("Metis is under maintenance.")
    if fault == "503_not_live":
        raise models.not_live(chat.model)
    if fault == "502":
        raise Refusal(shapes.proxy_page("502", 502))
    if fault == "cut":
        raise Cut(fault)
    if fault == "not_json":
        page = b"<!doctype html>\n<html><body><h1>One moment, please</h1></body></html>\n"
        raise Refusal(Answer(fault, 200, page, shapes.HTML))


async def _wait(core: Core, reply: Reply, fault: str | None) -> None:
    """Let the time of an answer pass; raise what the upstream does instead of answering."""
    if fault in ("refused", "dropped"):
        raise connection_failure(fault)
    status = upstream_status(fault or "")
    if status is not None:
        raise simulated_status(status)
    timeout = core.options.timeout
    if fault == "504":
        raise timeout_failure(timeout)
    seconds = core.latency if reply.latency is None else reply.latency
    if fault in ("timeout", "stalled") or seconds >= core.clock.real(timeout):
        await core.clock.sleep(timeout)
        raise timeout_failure(timeout)
    if seconds > 0:
        await asyncio.sleep(seconds)


# -- an answer in one piece


async def _complete(core: Core, chat: Chat, reply: Reply) -> Answer:
    fault = "upstream_500" if chat.fault == "sse_error" else chat.fault
    try:
        await _wait(core, reply, fault)
    except UpstreamFailure as failure:
        raise failure.refusal from None
    if fault in ("upstream_not_json", "no_done"):
        raise shapes.internal_error("upstream_not_json")
    document = completion(chat.body, reply, core.answers, chat.model_name)
    whole = json.dumps(document).encode()
    if fault == "cut_mid":
        raise Cut(fault, whole[: len(whole) // 2])
    return _paid(core, chat, whole, document)


def _paid(core: Core, chat: Chat, whole: bytes, document: Any) -> Answer:
    tokens = total_tokens(document)
    if tokens:
        core.rates.charge(chat.model, chat.person.id, tokens)
        core.ledger.tokens += tokens
    _delivered(core, chat)
    return Answer(chat.kind, 200, whole)


def _delivered(core: Core, chat: Chat) -> None:
    if chat.gone:
        chat.kind = "client_gone"
    elif chat.fault is None:
        core.ledger.answers[chat.key] += 1


# -- an answer in pieces


async def _stream(core: Core, chat: Chat, reply: Reply) -> StreamResponse:
    if chat.kind == "answer":
        chat.kind = "stream"
    response = await streams.send(chat.request, _events(core, chat, reply))
    _delivered(core, chat)
    return response


async def _events(core: Core, chat: Chat, reply: Reply) -> AsyncIterator[bytes]:
    fault = chat.fault
    breaks_after = streams.STREAM_FAULTS.get(fault or "")
    parts = streams.chunks(chat.body, reply, core.answers, chat.model_name)
    if breaks_after is None:
        try:
            await _wait(core, reply, fault)
        except UpstreamFailure as failure:
            yield streams.failure(chat.model.name, failure.text)
            return
        if fault == "upstream_not_json":
            yield b"<html><body>not a stream</body></html>"
            return
        for part in parts:
            yield part
        yield streams.DONE
        return
    for part in parts[: 1 + breaks_after]:
        yield part
    if fault == "cut_mid":
        raise Cut(fault)
    if fault == "sse_error":
        yield streams.server_error()
    elif fault in ("dropped", "stalled"):
        try:
            await _wait(core, reply, fault)
        except UpstreamFailure as failure:
            yield streams.failure(chat.model.name, failure.text)


# -- another server answers


async def _pass_on(core: Core, chat: Chat, upstream: Upstream) -> Answer | StreamResponse:
    if chat.body["stream"]:
        chat.kind = "stream"
        response = await streams.send(chat.request, _passed_on(chat, upstream))
        _delivered(core, chat)
        return response
    try:
        whole, document = await upstream.complete(chat.body)
    except UpstreamFailure as failure:
        raise failure.refusal from None
    return _paid(core, chat, whole, document)


async def _passed_on(chat: Chat, upstream: Upstream) -> AsyncIterator[bytes]:
    try:
        async for part in upstream.stream(chat.body):
            yield part
    except UpstreamFailure as failure:
        chat.fault = chat.kind = failure.refusal.answer.kind
        yield streams.failure(chat.model.name, failure.text)
