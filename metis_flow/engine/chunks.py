"""Ready chat instances that share an app call: a chunk. Each keeps a future, an attempt and an error of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from metis_flow.engine.chat import ChatTask, run_chat
from metis_flow.engine.outcome import Outcome
from metis_flow.inference.errors import Withdrawn

MOST = 64
"""Instances of a chunk: more would save little of what an app call costs, and hold back the first of them."""


@dataclass(frozen=True, eq=False)
class Ready:
    """One instance that is ready to be asked for, and the future of its outcome."""

    task: ChatTask
    future: Future[Outcome] = field(default_factory=Future)

    def settle(self, outcome: Outcome) -> None:
        """Hand over the outcome, unless there is one."""
        if not self.future.done():
            self.future.set_result(outcome)

    def fail(self, error: BaseException) -> None:
        """Hand over what Parsl raised instead of an outcome."""
        if not self.future.done():
            self.future.set_exception(error)


Chunk = list[Ready]


class Gathering:
    """Gathers instances that become ready one after another. Several threads may use it.

    Args:
        send: takes a chunk.
    """

    def __init__(self, send: Callable[[Chunk], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._chunk: Chunk = []

    def add(self, task: ChatTask) -> Future[Outcome]:
        """Take an instance in; it is sent with the next `flush` at the latest."""
        ready = Ready(task)
        with self._lock:
            self._chunk.append(ready)
            full = len(self._chunk) >= MOST
        if full:
            self.flush()
        return ready.future

    def flush(self) -> None:
        """Send what has been gathered."""
        if self._chunk:
            with self._lock:
                chunk, self._chunk = self._chunk, []
            if chunk:
                self._send(chunk)


async def run_chunk(chunk: Chunk) -> None:
    """Ask for the instances of a chunk, all at once. Each is handed over when it ends; the slowest holds back none."""
    await asyncio.wait([asyncio.ensure_future(_run(ready)) for ready in chunk])


async def _run(ready: Ready) -> None:
    try:
        ready.settle(await run_chat(ready.task))
    except BaseException:  # the loop is being ended
        ready.settle(Outcome(error=Withdrawn()))
        raise


def failing_with(chunk: Chunk) -> Callable[[Future[object]], None]:
    """A callback for an app call: where Parsl could not run it, none of its instances waits for ever."""

    def on_end(call: Future[object]) -> None:
        error = call.exception()
        if error is not None:
            for ready in chunk:
                ready.fail(error)

    return on_end
