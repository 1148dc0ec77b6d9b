"""The app of a chat instance: ask, validate, make the answer durable, hand it over."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from metis_flow.engine.entries import Journal
from metis_flow.engine.outcome import Outcome
from metis_flow.errors import Cancelled, MetisFlowError, StepFailed
from metis_flow.inference.answers import Answer, ChatRequest
from metis_flow.inference.client import Inference
from metis_flow.inference.structured import Ask, Exchange, ask
from metis_flow.record.journal import Written
from metis_flow.record.usage import Usage


class Ending:
    """A way to end a call from another thread, whether it has begun or not."""

    def __init__(self) -> None:
        self.asked = False
        self._task: asyncio.Task[Any] | None = None

    def begin(self) -> None:
        """The call begins, as the task that is running."""
        self._task = asyncio.current_task()

    def end(self) -> None:
        """End the call. Safe from any thread."""
        self.asked = True
        task = self._task
        if task is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)


@dataclass(frozen=True)
class ChatTask:
    """One chat instance. It stays in the driver's process.

    Attributes:
        label: ``step@key``, for messages.
        entry: what the journal's ``done`` entry says besides the answer.
        timeout: seconds for each call, from sending on.
        is_end: whether a valid answer is the instance's end; else another round follows.
        keeps_messages: whether the conversation is handed on with the answer.
    """

    label: str
    request: ChatRequest
    schema: dict[str, Any] | None
    repair: int
    check: Callable[[Any], str | None] | None
    entry: dict[str, Any]
    timeout: float | None
    inference: Inference = field(repr=False)
    journal: Journal = field(repr=False)
    is_end: Callable[[Any], bool] = lambda output: True
    keeps_messages: bool = False
    ending: Ending = field(default_factory=Ending, repr=False)


async def run_chat(task: ChatTask) -> Outcome:
    """Ask for one instance. The answer is in the journal before this returns."""
    began = time.time()
    question = Ask(request=task.request, schema=task.schema, repair=task.repair, check=task.check, timeout=task.timeout)

    calls, usage = 0, Usage()
    written: Written | None = None

    async def keep(exchange: Exchange) -> None:
        nonlocal calls, usage, written
        calls, usage = calls + 1, usage + exchange.answer.usage
        written = await durable(task.journal, _entry(task, exchange, began))

    task.ending.begin()
    try:
        if task.ending.asked:
            raise asyncio.CancelledError
        exchange = await ask(task.inference, question, keep)
        messages = (*exchange.messages, said(exchange.answer)) if task.keeps_messages else None
        return Outcome(
            value=exchange.output,
            began=began,
            ended=time.time(),
            durable=True,
            written=written,
            calls=calls,
            usage=usage,
            messages=messages,
        )
    except MetisFlowError as failure:
        error: MetisFlowError = failure
        error.where = error.where or task.label
    except asyncio.CancelledError:
        if not task.ending.asked:
            raise
        error = Cancelled("it was taken back", where=task.label)
    except Exception as failure:  # a fault of ours: it must still end as this instance's failure
        error = StepFailed(
            f"{type(failure).__name__}: {failure}", where=task.label, hint="this is a fault of metis-flow"
        )
    return Outcome(error=error, began=began, ended=time.time(), calls=calls, usage=usage)


def _entry(task: ChatTask, exchange: Exchange, began: float) -> dict[str, Any]:
    """A ``done`` entry for a valid answer; a ``call`` entry for one that was paid for and is of no use."""
    call = said_in(exchange, task.request)
    if exchange.problem is not None:
        ids = {name: task.entry[name] for name in ("step", "key", "attempt")}
        return {"e": "call", **ids, **call, "problem": exchange.problem}
    kind = "done" if task.is_end(exchange.output) else "answer"
    times = {"t0": began, "t1": time.time()}
    return {"e": kind, **task.entry, **times, "output": exchange.output, "kind": "json", "call": call}


def said_in(exchange: Exchange, request: ChatRequest) -> dict[str, Any]:
    """What was asked and answered, for the journal."""
    answer = exchange.answer
    call: dict[str, Any] = {
        "n": exchange.n,
        "model": request.model,
        "messages": exchange.messages,
        "settings": request.settings,
        "text": answer.text,
        "finish": answer.finish_reason,
        "usage": answer.usage.as_json(),
        "seconds": round(answer.seconds, 4),
    }
    if answer.reasoning:
        call["reasoning"] = answer.reasoning
    if answer.model != request.model:
        call["answered_by"] = answer.model
    return call


def said(answer: Answer) -> dict[str, Any]:
    """An answer as a message of a conversation."""
    return {"role": "assistant", "content": answer.text}


async def durable(journal: Journal, entry: dict[str, Any]) -> Written | None:
    """Write an entry; return once it is durable."""
    loop = asyncio.get_running_loop()
    bell = _bells.get(loop)
    if bell is None:
        bell = _bells[loop] = _Bell()
    future: asyncio.Future[None] = loop.create_future()
    written = journal.append(entry, partial(bell.ring, future))
    await future
    return written


class _Bell:
    """Resolves futures of one loop from the journal's thread. Many entries become durable at once: one wake-up."""

    def __init__(self) -> None:
        self._rung: deque[asyncio.Future[None]] = deque()
        self._is_called = False

    def ring(self, future: asyncio.Future[None]) -> None:
        """Have a future resolved."""
        self._rung.append(future)
        if not self._is_called:
            self._is_called = True
            future.get_loop().call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._is_called = False  # before looking: whoever rings from now on calls again
        while self._rung:
            future = self._rung.popleft()
            if not future.done():
                future.set_result(None)


_bells: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bell] = WeakKeyDictionary()
