"""Several requests in one body, for endpoints that take an array of them and answer in the same order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from metis_flow.errors import LoginRequired
from metis_flow.inference.answers import ChatRequest
from metis_flow.inference.errors import CallFailed, NotJson, Refused, Retry
from metis_flow.inference.reading import not_json
from metis_flow.inference.refusal_bodies import read_refusal
from metis_flow.inference.refusals import error_of
from metis_flow.inference.transport import Reply

LINGER = 0.05  # seconds that a body waits for more requests to join

Post = Callable[[Any, str], Awaitable[Reply]]
Found = tuple[dict[str, Any], float]


@dataclass(frozen=True)
class _Waiting:
    request: ChatRequest
    found: asyncio.Future[Found]


class TogetherRefused(CallFailed):
    """A body with several requests was refused: perhaps for one of them only, so each is sent alone."""

    kind = "together_refused"
    retry = Retry(0.0, 0.0, times=1)


class Bodies:
    """Joins the requests of one model that come at about the same time.

    Args:
        size: most requests in one body.
        post: sends a body; the second argument is the model, for the words of an error.
    """

    def __init__(self, size: int, post: Post) -> None:
        self._size = size
        self._post = post
        self._waiting: dict[str, list[_Waiting]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def ask(self, request: ChatRequest) -> Found:
        """The chat completion of one request, and the seconds that its body took.

        Raises:
            CallFailed, LoginRequired: as if it had been sent alone; the caller sends it alone the next time.
        """
        loop = asyncio.get_running_loop()
        mine = _Waiting(request, loop.create_future())
        together = self._waiting.setdefault(request.model, [])
        together.append(mine)
        if len(together) >= self._size:
            self._send(request.model)
        elif len(together) == 1:
            self._timers[request.model] = loop.call_later(LINGER, self._send, request.model)
        return await mine.found

    def _send(self, model: str) -> None:
        self._timers.pop(model).cancel()
        together = [one for one in self._waiting.pop(model) if not one.found.done()]
        if together:
            task = asyncio.get_running_loop().create_task(self._run(model, together))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _run(self, model: str, together: list[_Waiting]) -> None:
        try:
            reply = await self._post([one.request.body() for one in together], model)
            documents = _unpack(reply, len(together))
        except (CallFailed, LoginRequired) as error:
            for one in together:
                if not one.found.done():
                    one.found.set_exception(_for_one(error, len(together)))
            return
        except BaseException as error:
            for one in together:
                if not one.found.done():
                    one.found.set_exception(error)
            raise
        for one, document in zip(together, documents, strict=True):
            if not one.found.done():
                _deliver(one, document, reply.seconds)


def _unpack(reply: Reply, count: int) -> list[Any]:
    """The completions of a body, in the order of the requests.

    Raises:
        NotJson: there are not as many as requests.
    """
    try:
        documents = json.loads(reply.content)
    except (ValueError, RecursionError):
        raise not_json(reply.content) from None
    if not isinstance(documents, list) or len(documents) != count:
        raise NotJson(
            f"the answer to {count} requests in one body does not hold {count} answers",
            hint="set 'requests_per_body: 1' in the endpoint's file",
            detail=reply.content[:300].decode("utf-8", errors="replace"),
        )
    return documents


def _deliver(one: _Waiting, document: Any, seconds: float) -> None:
    """Hand a request its completion, or its own error."""
    if isinstance(document, dict) and "error" not in document:
        one.found.set_result((document, seconds))
        return
    error = document.get("error") if isinstance(document, dict) else None
    told = error.get("status", error.get("code")) if isinstance(error, dict) else None
    status = told if isinstance(told, int) and 400 <= told < 600 else 500
    body = json.dumps(document)
    one.found.set_exception(error_of(read_refusal(status, body, model=one.request.model)))


def _for_one(error: CallFailed | LoginRequired, count: int) -> CallFailed | LoginRequired:
    """What the failure of a whole body means for one of its requests."""
    if isinstance(error, Refused) and count > 1:
        return TogetherRefused(error.summary, hint=error.hint, detail=error.detail)
    return type(error)(error.summary, hint=error.hint, detail=error.detail)
