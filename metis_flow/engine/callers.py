"""Worker processes beside the driver that send its calls, when one process is not enough.

The driver's event loop keeps a queue of instances, lends a share of the endpoint's limits to a chunk of them, has a
worker send it, and hands over each outcome. Everything here but `take`, `end` and `withdraw` runs on that loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pickle
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from parsl.dataflow.dflow import DataFlowKernel

from metis_flow.engine.call_chunks import ALL, Back, CallChunk, ChunkBack, whole
from metis_flow.engine.chat import ChatTask
from metis_flow.engine.chunks import Chunk, Ready
from metis_flow.engine.outcome import Outcome, is_lost
from metis_flow.engine.worker_chat import WorkerChatTask
from metis_flow.inference.client import Inference
from metis_flow.inference.errors import RateLimited, Withdrawn
from metis_flow.inference.estimates import count_characters
from metis_flow.inference.leases import Held, Lease, Lessor
from metis_flow.sites.executors import ProcessesConfig
from metis_flow.sites.parsl_config import check_path, processes_executor

CALLERS = "chat.callers"
"""Parsl's name for the executor; no executor of a site can have it."""
CHUNK_SECONDS = 1.0
"""How long a chunk shall take: long against what its way costs, short against what a lost one costs."""
LEAST, MOST = 16, 512
"""Calls of a chunk; more where it has many places, for it waits for the slowest of its last ones."""
FIRST = 128
ROUNDS = 2
"""Calls for each place of a chunk."""

Call = Callable[[bytes, str], "Future[bytes]"]


def travels(task: ChatTask) -> bool:
    """Whether a worker can ask for an instance; else the driver does.

    A ``check`` is the driver's to ask. Until it is known what a model's server does with ``response_format``, one call
    finds out for all. Where the endpoint has rates, a call that may be followed by repairs cannot be lent its share.
    """
    inference = task.inference
    endpoint = inference.endpoint
    if task.check is not None or endpoint.requests_per_body > 1:
        return False
    if task.repair and endpoint.limits.has_rates:
        return False
    known = endpoint.supports.response_format != "probe" or isinstance(inference.formats.get(task.request.model), bool)
    return task.schema is None or known


class Callers:
    """The worker processes of one run, and what is on its way to them.

    Args:
        run_dir: Parsl's private folder.
        count: processes.
        call: runs `run_task` in one of them.
        in_driver: takes instances that the driver itself asks for; safe from any thread.
        gave_up: told why no worker can be had, where that is so.
    """

    def __init__(
        self,
        kernel: DataFlowKernel,
        inference: Inference,
        run_dir: Path,
        count: int,
        call: Call,
        in_driver: Callable[[Chunk], None],
        gave_up: Callable[[str], None],
    ) -> None:
        self.count = count
        self._kernel = kernel
        self._inference = inference
        self._run_dir = run_dir
        self._call = call
        self._in_driver = in_driver
        self._gave_up = gave_up
        self._lessor = Lessor(inference.limiter, inference.clock, count)
        self._queue: deque[Ready] = deque()
        self._filled = asyncio.Event()
        self._numbers = itertools.count()
        self._asked_for: Counter[str] = Counter()
        self._out: dict[int, tuple[Path, int]] = {}
        self._marks: set[Path] = set()
        self._size = FIRST
        self._withdrawn = False
        self._over = False
        self._lanes: list[asyncio.Task[None]] = []
        self._starting: asyncio.Future[None] | None = None

    async def start(self) -> bool:
        """Start the workers, and return once the first is there; whether one is."""
        config = ProcessesConfig(kind="processes", workers=self.count)
        try:
            check_path(self._run_dir)
            executor = processes_executor(CALLERS, config)
            self._starting = asyncio.ensure_future(asyncio.to_thread(self._kernel.add_executors, [executor]))
            await asyncio.shield(self._starting)
            first = CallChunk(self._inference.endpoint, self._inference.limiter.most, Lease(1, 0.0))
            hellos = [_awaited(self._call(pickle.dumps(first), self._mark())) for _ in range(self.count)]
            await asyncio.wait(hellos, return_when=asyncio.FIRST_COMPLETED)
            next(hello for hello in hellos if hello.done()).result()
        except Exception as error:
            self._give_up(error)
            return False
        self._lanes = [asyncio.ensure_future(self._lane()) for _ in range(self.count)]
        return True

    async def close(self) -> None:
        """Wait until the workers have started, so that they can be ended."""
        for lane in self._lanes:
            lane.cancel()
        if self._starting is not None:
            with contextlib.suppress(Exception):
                await self._starting

    @property
    def window(self) -> int:
        """Instances that may be submitted and unfinished: enough for all workers, and for as many chunks again."""
        return 2 * self.count * self._most

    @property
    def _most(self) -> int:
        """Calls of the next chunk."""
        return max(self._size, ROUNDS * self._inference.limiter.limit // self.count)

    def take(self, chunk: Chunk) -> None:
        """Take instances in. On the loop."""
        if self._withdrawn:
            _withdraw(chunk)
        elif self._over:
            self._in_driver(chunk)
        else:
            self._queue.extend(chunk)
            self._filled.set()

    def end(self, task: ChatTask) -> None:
        """An instance is not wanted any more. On the loop."""
        mark, number = self._out.get(id(task), (None, 0))
        if mark is not None:
            _write(mark, str(number))

    def withdraw(self) -> None:
        """Send nothing that has not been sent. On the loop."""
        self._withdrawn = True
        _withdraw(self._queue)
        self._queue.clear()
        for mark in self._marks:
            _write(mark, ALL)

    # -- chunks

    async def _lane(self) -> None:
        """Have one chunk after the other sent; there are as many lanes as workers."""
        while True:
            chunk = self._cut()
            if not chunk:
                self._filled.clear()
                await self._filled.wait()
                continue
            model = chunk[0].task.request.model
            self._asked_for[model] += 1
            try:
                held = await self._lessor.lend(model, [self._cost(ready) for ready in chunk])
            except Withdrawn:
                _withdraw(chunk)
                continue
            except asyncio.CancelledError:
                _withdraw(chunk)
                raise
            finally:
                self._asked_for[model] -= 1
            self._again(chunk[held.count :])
            if self._withdrawn:  # between the limiter's word and this lane's turn
                _withdraw(chunk)
                self._lessor.give_back(held)
                continue
            await self._out_and_back(chunk[: held.count], held)

    def _cut(self) -> Chunk:
        """The next instances of one model, shared out so that every lane has its part of a short queue."""
        most = min(self._most, max(LEAST, -(-len(self._queue) // self.count)))
        chunk: Chunk = []
        self._bring_forward()
        while self._queue and len(chunk) < most:
            if chunk and self._queue[0].task.request.model != chunk[0].task.request.model:
                break
            ready = self._queue.popleft()
            if not ready.task.ending.asked:  # else nobody waits for it
                chunk.append(ready)
        return chunk

    def _bring_forward(self) -> None:
        """A model that a lane waits for does not hold up the others: the first call of another goes to the front."""
        if not self._queue or not self._asked_for[self._queue[0].task.request.model]:
            return
        others = [ready for ready in self._queue if not self._asked_for[ready.task.request.model]]
        if others:
            rest = [ready for ready in self._queue if self._asked_for[ready.task.request.model]]
            self._queue = deque([*others, *rest])

    def _again(self, chunk: Sequence[Ready]) -> None:
        """Put instances that have no outcome back to the front of the queue."""
        chunk = [ready for ready in chunk if not ready.future.done()]
        if self._withdrawn:
            _withdraw(chunk)
        elif chunk:
            self._queue.extendleft(reversed(chunk))
            self._filled.set()

    async def _out_and_back(self, chunk: Chunk, held: Held) -> None:
        mark = Path(self._mark())
        self._marks.add(mark)
        for number, ready in enumerate(chunk):
            self._out[id(ready.task)] = (mark, number)
        try:
            back = await _awaited(self._call(pickle.dumps(self._parcel(chunk, held)), str(mark)))
            self._charge(pickle.loads(back), chunk, held)
        except asyncio.CancelledError:
            _withdraw(chunk)
            raise
        except Exception as error:
            self._lost(chunk, error)
        finally:
            self._lessor.give_back(held)
            self._marks.discard(mark)
            for ready in chunk:
                self._out.pop(id(ready.task), None)

    def _parcel(self, chunk: Chunk, held: Held) -> CallChunk:
        inference = self._inference
        return CallChunk(
            endpoint=inference.endpoint,
            most=inference.limiter.most,
            lease=held.lease,
            tasks=tuple(WorkerChatTask.of(ready.task) for ready in chunk),
            costs=tuple(held.reserved) or (0.0,) * len(chunk),
            formats={model: known for model, known in inference.formats.items() if isinstance(known, bool)},
        )

    def _cost(self, ready: Ready) -> float:
        """Tokens that a call will probably be charged; 0 where the endpoint counts none."""
        request = ready.task.request
        if self._inference.limiter.gate(request.model).tokens_per_minute is None:
            return 0.0
        bound = request.settings.get("max_tokens") or request.settings.get("max_completion_tokens")
        estimator = self._inference.estimator(request.model)
        return estimator.estimate(count_characters(request.messages), bound if isinstance(bound, int) else None)

    def _charge(self, back: ChunkBack, chunk: Chunk, held: Held) -> None:
        """Take up what a chunk used, and hand over what it brought."""
        sent = 0
        for ready, one in zip(chunk, back.backs, strict=True):
            sent += one.how != "unsent"
            if one.outcome.calls:
                self._learn(ready, one.outcome)
                self._lessor.charge(held, one.outcome.usage.total_tokens, one.at)
            if one.how == "ended":
                ready.settle(_finished(one.outcome, ready.task))
            elif one.how == "failed":
                self._go_on(ready, one, held)
        self._again([ready for ready, one in zip(chunk, back.backs, strict=True) if one.how == "unsent"])
        if sent and back.seconds > 0:
            self._size = max(LEAST, min(MOST, round(sent / back.seconds * CHUNK_SECONDS)))

    def _learn(self, ready: Ready, outcome: Outcome) -> None:
        usage, request = outcome.usage, ready.task.request
        if self._inference.limiter.gate(request.model).tokens_per_minute is not None:
            characters = count_characters(request.messages)
            self._inference.estimator(request.model).learn(characters, usage.prompt_tokens, usage.completion_tokens)

    def _go_on(self, ready: Ready, back: Back, held: Held) -> None:
        """Have the driver ask again for what went wrong in a worker; answers that it was given are not forgotten."""
        before = whole(back.outcome, WorkerChatTask.of(ready.task))
        assert before.error is not None
        self._inference.limiter.retries[before.error.kind] += 1
        if isinstance(before.error, RateLimited):
            self._lessor.refused(held)
        again = Ready(ready.task)

        def settle(done: Future[Outcome]) -> None:
            error = done.exception()
            if error is not None:
                ready.fail(error)
                return
            after = done.result()
            calls, usage = before.calls + after.calls, before.usage + after.usage
            ready.settle(replace(after, calls=calls, usage=usage, said=(*before.said, *after.said)))

        again.future.add_done_callback(settle)
        self._in_driver([again])

    def _lost(self, chunk: Chunk, error: Exception) -> None:
        """No outcome came back."""
        if is_lost(error):
            for ready in chunk:
                ready.fail(error)
        else:
            self._again(chunk)
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """There are no workers: the driver sends its calls itself."""
        queued, self._queue = list(self._queue), deque()
        if not self._over:
            self._over = True
            self._gave_up(f"{type(error).__name__}: {str(error)[:300]}")
        if queued:
            self._in_driver(queued)

    def _mark(self) -> str:
        return str(self._run_dir / f"calls-{next(self._numbers)}")


def _finished(outcome: Outcome, task: ChatTask) -> Outcome:
    """An outcome as the driver's own calls have it."""
    outcome = whole(outcome, WorkerChatTask.of(task))
    if not task.keeps_messages or outcome.error is not None:
        return outcome
    last = outcome.said[-1]
    return replace(outcome, messages=(*last["messages"], {"role": "assistant", "content": last["text"]}))


def _awaited(call: Future[bytes]) -> asyncio.Future[bytes]:
    """What an app call gives, on this loop. Parsl's futures cannot be cancelled, and may outlive the loop."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[bytes] = loop.create_future()

    def settle() -> None:
        error = call.exception()
        if not waiting.done():
            waiting.set_exception(error) if error is not None else waiting.set_result(call.result())

    def on_end(_: Future[bytes]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle)

    call.add_done_callback(on_end)
    return waiting


def _withdraw(chunk: Sequence[Ready]) -> None:
    for ready in chunk:
        ready.settle(Outcome(error=Withdrawn()))


def _write(mark: Path, word: str) -> None:
    descriptor = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{word}\n".encode("ascii"))
    finally:
        os.close(descriptor)
