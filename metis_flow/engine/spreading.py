"""Sends chunks of ready chat instances: from the driver, or from worker processes where that is wanted or pays."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from parsl.dataflow.dflow import DataFlowKernel

from metis_flow.engine.callers import Call, Callers, travels
from metis_flow.engine.chat import ChatTask
from metis_flow.engine.chunks import Chunk
from metis_flow.engine.load import Watch, processes_for
from metis_flow.engine.loop_executor import LoopExecutor
from metis_flow.engine.progress import Progress
from metis_flow.engine.worker_chat import why_only_driver
from metis_flow.inference.client import Inference

Note = Callable[[Mapping[str, Any]], None]


class Spreading:
    """Knows from where the calls of a run go out.

    Args:
        run_dir: Parsl's private folder.
        call: runs `run_task` in a worker.
        in_driver: has the driver ask for a chunk.
    """

    def __init__(
        self, kernel: DataFlowKernel, loop: LoopExecutor, run_dir: Path, call: Call, in_driver: Callable[[Chunk], None]
    ) -> None:
        self._kernel = kernel
        self._loop = loop
        self._run_dir = run_dir
        self._call = call
        self._in_driver = in_driver
        self._lock = threading.Lock()  # workflows that are called have threads of their own
        self._progress: Progress | None = None
        self._on_note: Note = lambda note: None
        self._watch: Watch | None = None
        self._inference: Inference | None = None
        self._callers: Callers | None = None
        self._active: Callers | None = None

    def told(self, progress: Progress, on_note: Note) -> None:
        """Take up who counts the run's calls, and who writes notes down."""
        self._progress = progress
        self._on_note = on_note

    def send(self, chunk: Chunk) -> None:
        """Have a chunk asked for."""
        with self._lock:
            if self._inference is None:
                self._begin(chunk[0].task.inference)
        active = self._active
        if active is None:
            self._in_driver(chunk)
            return
        away = [ready for ready in chunk if travels(ready.task)]
        here = [ready for ready in chunk if not travels(ready.task)]
        if away:
            self._loop.loop.call_soon_threadsafe(active.take, away)
        if here:
            self._in_driver(here)

    def look(self) -> None:
        """See from time to time whether the driver alone is enough."""
        with self._lock:
            if self._watch is None or self._progress is None or self._inference is None:
                return
            load = self._watch.look(self._progress)
            count = processes_for(self._inference.endpoint, load) if load is not None else 1
            if count > 1:
                self._watch = None
                self._start(self._inference, count, "the driver's one was busy")

    def window(self, of_driver: int) -> int:
        """Instances of a step that may be submitted and unfinished."""
        return of_driver if self._active is None else max(of_driver, self._active.window)

    def end(self, task: ChatTask) -> None:
        """An instance is not wanted any more."""
        if self._active is not None:
            self._loop.loop.call_soon_threadsafe(self._active.end, task)

    def withdraw(self) -> None:
        """Send nothing that has not been sent. Safe from any thread."""
        if self._callers is not None:
            self._loop.loop.call_soon_threadsafe(self._callers.withdraw)

    def close(self) -> None:
        """Have no worker started any more."""
        self._watch = None
        if self._callers is not None:
            self._loop.wait_for(self._callers.close())

    def _begin(self, inference: Inference) -> None:
        """The first call: see what its endpoint's file says."""
        self._inference = inference
        wanted = inference.endpoint.limits.processes
        reason = why_only_driver(inference.endpoint)
        if wanted == "auto":
            self._watch = Watch() if reason is None else None
        elif wanted > 1 and reason is not None:
            self._say(1, f"calls go out from the driver alone: {reason}")
        elif wanted > 1:
            self._active = self._start(inference, wanted, "as the endpoint's file says")  # all waits for the workers

    def _start(self, inference: Inference, count: int, why: str) -> Callers:
        given = self._kernel, inference, self._run_dir, count, self._call, self._in_driver, self._gave_up
        self._callers = Callers(*given)
        asyncio.run_coroutine_threadsafe(self._started(self._callers, why), self._loop.loop)
        return self._callers

    async def _started(self, callers: Callers, why: str) -> None:
        if await callers.start():
            self._active = callers
            self._say(callers.count, f"calls now go out from {callers.count} processes: {why}")

    def _gave_up(self, reason: str) -> None:
        self._active = None
        self._say(1, f"calls go out from the driver alone: its worker processes are lost ({reason})")

    def _say(self, processes: int, text: str) -> None:
        self._on_note({"kind": "processes", "processes": processes, "reason": text})
        if self._progress is not None:
            self._progress.notes.append(text)
