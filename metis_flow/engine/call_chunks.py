"""Chunks of calls for worker processes beside the driver: what travels, and what a worker does with it.

A worker sends each call once. What goes wrong in a way that another try may mend comes back, and the driver goes on
with it: it knows about waiting, about logins, and about everybody else's calls.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from metis_flow.engine.outcome import Outcome
from metis_flow.engine.worker_chat import WorkerChatTask, ask_in_worker, clients
from metis_flow.errors import LoginRequired, StepFailed
from metis_flow.inference.client import Inference
from metis_flow.inference.endpoints import EndpointConfig
from metis_flow.inference.errors import CallFailed, Withdrawn
from metis_flow.inference.leases import Lease, Spending
from metis_flow.inference.limiter import Limiter, Place
from metis_flow.inference.tries import Tries

LOOK_SECONDS = 0.5
"""How often a worker looks whether its calls are still wanted."""
ALL = "all"


@dataclass(frozen=True)
class CallChunk:
    """Calls on their way to a worker. It holds no secret.

    Without tasks it only has the worker make its client.

    Attributes:
        most: calls in flight that a worker ever has.
        formats: what is known of servers and ``response_format``, by model.
        costs: tokens that each call will probably be charged.
    """

    endpoint: EndpointConfig
    most: int
    lease: Lease
    tasks: tuple[WorkerChatTask, ...] = ()
    costs: tuple[float, ...] = ()
    formats: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Back:
    """What became of one call.

    Attributes:
        how: `ended`, for better or worse; `unsent`; or `failed`, in a way that the driver shall go on with.
        at: when (`time.monotonic`).
    """

    how: Literal["ended", "unsent", "failed"]
    outcome: Outcome
    at: float


@dataclass(frozen=True)
class ChunkBack:
    """What became of a chunk: `backs` in the order of its tasks, after `seconds` in the worker `process`."""

    backs: tuple[Back, ...]
    seconds: float
    process: int


class _OneTry(Inference):
    """A client that sends a call once: whether it is sent again is for the driver to say."""

    def _after(self, error: CallFailed, place: Place, tries: Tries) -> float | None:
        return None


def send_chunk(chunk: CallChunk, mark: Path) -> ChunkBack:
    """Send the calls of a chunk, in a worker.

    Args:
        mark: a file whose lines say which of them are not wanted any more: their numbers, or `ALL` of those that have
            not been sent.
    """
    return clients.wait_for(_send(chunk, mark))


async def _send(chunk: CallChunk, mark: Path) -> ChunkBack:
    began = time.monotonic()
    inference = await clients.inference_of(chunk.endpoint, _OneTry, concurrency=chunk.most)
    inference.formats.update(chunk.formats)
    inference.limiter = limiter = Limiter(chunk.lease.places)
    spending = Spending(chunk.lease)

    def stop() -> None:
        spending.stop()
        limiter.withdraw()

    places = asyncio.Semaphore(chunk.lease.places)  # before a moment is taken: who waits for a place would miss it
    each = zip(chunk.tasks, chunk.costs, strict=True)
    calls = [asyncio.ensure_future(_one(inference, task, cost, spending, places)) for task, cost in each]
    if calls:
        _heed(mark, calls, stop)
        over = asyncio.get_running_loop().call_later(max(0.0, chunk.lease.until - began), stop)
        looking = asyncio.ensure_future(_look(mark, calls, stop))
        await asyncio.wait(calls)
        looking.cancel()
        over.cancel()
    backs = tuple(_unsent() if call.cancelled() else call.result() for call in calls)
    return ChunkBack(backs, time.monotonic() - began, os.getpid())


async def _one(
    inference: Inference, task: WorkerChatTask, cost: float, spending: Spending, places: asyncio.Semaphore
) -> Back:
    now = time.time()
    try:
        async with places:
            await spending.turn(cost)
            outcome = await ask_in_worker(inference, task)
    except Withdrawn:
        return _unsent()
    except Exception as error:  # a fault of ours: it must still end as this instance's failure
        words = f"{type(error).__name__}: {error}"
        failure = StepFailed(words, where=task.label, hint="this is a fault of metis-flow")
        return Back("ended", Outcome(error=failure, began=now, ended=time.time()), time.monotonic())
    spending.charged(cost, outcome.usage.total_tokens)
    return Back(_how(outcome), lightened(outcome, task), time.monotonic())


def _how(outcome: Outcome) -> Literal["ended", "unsent", "failed"]:
    error = outcome.error
    if isinstance(error, Withdrawn) and not outcome.said:
        return "unsent"
    mendable = isinstance(error, CallFailed) and error.retry.times != 0
    return "failed" if mendable or isinstance(error, LoginRequired | Withdrawn) else "ended"


def _unsent() -> Back:
    now = time.time()
    return Back("unsent", Outcome(error=Withdrawn(), began=now, ended=now), time.monotonic())


async def _look(mark: Path, calls: Sequence[asyncio.Future[Back]], stop: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        _heed(mark, calls, stop)


def _heed(mark: Path, calls: Sequence[asyncio.Future[Back]], stop: Callable[[], None]) -> None:
    """See what is not wanted any more."""
    if mark.exists():
        for word in mark.read_text(encoding="ascii").split():
            if word == ALL:
                stop()
            else:
                calls[int(word)].cancel()


def lightened(outcome: Outcome, task: WorkerChatTask) -> Outcome:
    """An outcome without what the driver has anyhow: its own messages and settings."""
    request = task.request
    said = tuple(
        {
            **call,
            "messages": None if call["messages"] is request.messages else call["messages"],
            "settings": None if call["settings"] is request.settings else call["settings"],
        }
        for call in outcome.said
    )
    return replace(outcome, said=said)


def whole(outcome: Outcome, task: WorkerChatTask) -> Outcome:
    """An outcome as it was before it was `lightened`."""
    own = {"messages": task.request.messages, "settings": task.request.settings}

    def put_back(call: Mapping[str, Any]) -> dict[str, Any]:
        return {name: own[name] if value is None and name in own else value for name, value in call.items()}

    return replace(outcome, said=tuple(put_back(call) for call in outcome.said))
