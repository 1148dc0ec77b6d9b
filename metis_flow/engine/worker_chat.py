"""Chat instances whose step sends them to the site's workers (``executor: workers``), for endpoints near the nodes.

A worker asks with a client of its own, reads the shared token file and never refreshes it; the driver writes down what
it brings back. The driver keeps no rates there, so an endpoint that has rates is asked from the driver only.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any, TypeVar

from metis_flow.engine.chat import ChatTask, said_in
from metis_flow.engine.outcome import Outcome
from metis_flow.errors import ConfigError, MetisFlowError
from metis_flow.inference.answers import ChatRequest
from metis_flow.inference.client import Inference
from metis_flow.inference.endpoints import EndpointConfig
from metis_flow.inference.structured import Ask, Exchange, ask
from metis_flow.inference.tokens import take_secrets
from metis_flow.plan.plan import Plan
from metis_flow.record.usage import Usage
from metis_flow.sites.choice import choose_executor
from metis_flow.sites.config import SiteConfig
from metis_flow.sites.executors import CHAT

T = TypeVar("T")
CLOSE_SECONDS = 2.0


@dataclass(frozen=True)
class WorkerChatTask:
    """One chat instance on its way to a worker. It holds no secret.

    Attributes:
        label: ``step@key``, for messages.
        timeout: seconds for each call, from sending on.
    """

    label: str
    request: ChatRequest
    schema: dict[str, Any] | None
    repair: int
    timeout: float | None
    endpoint: EndpointConfig

    @classmethod
    def of(cls, task: ChatTask) -> WorkerChatTask:
        """The part of a chat instance that travels; its check is asked in the driver."""
        return cls(task.label, task.request, task.schema, task.repair, task.timeout, task.inference.endpoint)


def check_calls(plan: Plan, site: SiteConfig, endpoint: EndpointConfig | None) -> None:
    """Refuse calls from workers where they cannot be sent from there.

    Raises:
        ConfigError: a step names an executor, and its calls have to go from the driver.
    """
    for name, step in plan.asking.items():
        executor = choose_executor(site, step)
        if executor == CHAT or endpoint is None:
            continue
        reason = _why_not(endpoint, site.executors[executor].kind, asks=step.asks)
        if reason is not None:
            raise ConfigError(
                f"the chat step '{name}' cannot send its calls from '{executor}': {reason}",
                hint="leave 'executor' out: the driver sends them",
            )


def why_only_driver(endpoint: EndpointConfig) -> str | None:
    """Why no other process can ask an endpoint; None where one can."""
    if endpoint.kind == "embedded":
        return "the embedded model runs in the driver"
    if endpoint.auth.kind not in ("none", "file", "globus"):
        return f"the key of '{endpoint.name}' stays in the driver"
    return None


def _why_not(endpoint: EndpointConfig, kind: str, *, asks: bool) -> str | None:
    limits = endpoint.limits
    if asks:
        return "a task that asks is driven by the driver"
    if kind == "globus-compute":
        return "Globus Compute is too far from the run's record"
    reason = why_only_driver(endpoint)
    if reason is not None:
        return reason
    if limits.has_rates:
        return f"the driver keeps the rates of '{endpoint.name}'"
    return None


def run_worker_chat(task: WorkerChatTask) -> Outcome:
    """Ask for one instance, in a worker; every exchange comes back with the outcome."""

    async def put() -> Outcome:
        return await ask_in_worker(await clients.inference_of(task.endpoint), task)

    return clients.wait_for(put())


async def ask_in_worker(inference: Inference, task: WorkerChatTask) -> Outcome:
    """Ask for one instance with a client of this worker."""
    began = time.time()
    said: list[dict[str, Any]] = []
    usage = Usage()

    async def keep(exchange: Exchange) -> None:
        nonlocal usage
        usage += exchange.answer.usage
        problem = {"problem": exchange.problem} if exchange.problem is not None else {}
        said.append(said_in(exchange, task.request) | problem)

    value, error = None, None
    try:
        question = Ask(task.request, task.schema, task.repair, None, task.timeout)
        value = (await ask(inference, question, keep)).output
    except MetisFlowError as failure:
        error = failure
        error.where = error.where or task.label
    ended = time.time()
    return Outcome(value=value, error=error, began=began, ended=ended, calls=len(said), usage=usage, said=tuple(said))


class Clients:
    """The clients of this worker process, one for each endpoint, on one event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._known: dict[tuple[str, type[Inference]], Inference] = {}
        self._lock = threading.Lock()

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop, and wait for it."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="calls", daemon=True).start()
                atexit.register(self._close)  # else each client complains to the user that nobody closed it
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def inference_of(
        self, endpoint: EndpointConfig, kind: type[Inference] = Inference, *, concurrency: int | None = None
    ) -> Inference:
        """The client for an endpoint.

        Args:
            kind: the class of the client.
            concurrency: most calls in flight; None for the endpoint's own number.
        """
        name = (endpoint.model_dump_json(), kind)
        if name not in self._known:
            tokens = take_secrets(endpoint, may_refresh=False)
            made = kind(endpoint, concurrency=concurrency, tokens=tokens)
            await made.open()  # returns without a pause, as a worker has no model of its own to start
            self._known[name] = made
        return self._known[name]

    def _close(self) -> None:
        async def close() -> None:
            for inference in self._known.values():
                await inference.close()

        assert self._loop is not None
        with contextlib.suppress(FutureTimeout):
            asyncio.run_coroutine_threadsafe(close(), self._loop).result(CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)


clients = Clients()
