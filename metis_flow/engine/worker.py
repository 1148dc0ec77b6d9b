"""What a worker process of the site runs: one task, and beside it one thread that knows when to leave."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from metis_flow.engine.call import find_function, run_call
from metis_flow.engine.call_chunks import CallChunk, ChunkBack, send_chunk
from metis_flow.engine.outcome import CallTask, Outcome, ShellTask
from metis_flow.engine.shell import end_script, run_shell
from metis_flow.engine.worker_chat import WorkerChatTask, run_worker_chat
from metis_flow.errors import StepFailed

Task = CallTask | ShellTask | WorkerChatTask

LOOK_SECONDS = 2.0
"""How often a worker looks whether its task is still wanted: it asks a shared file system."""


def run_task(data: bytes, unwanted: str, *, parsl_resource_specification: object = None) -> bytes:
    """Run one task in a worker process.

    Args:
        data: the task, pickled. Parsl pickles what it is given in Python's own slow way; bytes it takes as they are.
        unwanted: a file that appears when nobody waits for the task any more; for a chunk of calls, as it says itself.
        parsl_resource_specification: what Parsl has seen to already; it hands it on.

    Returns:
        The outcome, pickled.
    """
    return pickle.dumps(_outcome(pickle.loads(data), unwanted))


def _outcome(task: Task | CallChunk, unwanted: str) -> Outcome | ChunkBack:
    if isinstance(task, CallChunk):
        _watch.start()
        return send_chunk(task, Path(unwanted))
    _watch.begin(task, Path(unwanted))
    try:
        if os.path.exists(unwanted):
            return taken_back(task)
        if isinstance(task, WorkerChatTask):
            return run_worker_chat(task)
        return run_call(task, _find) if isinstance(task, CallTask) else run_shell(task)
    finally:
        _watch.end()


_found: dict[tuple[str, str, str], Callable[..., Any]] = {}


def _find(task: CallTask) -> Callable[..., Any]:
    """The function of a task, looked for once in a worker's life: its code does not change while a run goes on."""
    name = (task.verb, task.target, task.workflow_folder)
    if name not in _found:
        _found[name] = find_function(task)
    return _found[name]


def taken_back(task: Task) -> Outcome:
    """The outcome of a task that nobody waited for when its turn came."""
    now = time.time()
    return Outcome(error=StepFailed("it was taken back", where=task.label), began=now, ended=now)


class _Watch:
    """Ends the task of this process when it is unwanted, and the process itself when its manager is gone."""

    def __init__(self) -> None:
        self._task: tuple[Task, Path] | None = None
        self._thread: threading.Thread | None = None

    def begin(self, task: Task, unwanted: Path) -> None:
        self._task = (task, unwanted)
        self.start()

    def start(self) -> None:
        """See from now on whether the manager is there."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="metis-flow-watch", daemon=True)
            self._thread.start()

    def end(self) -> None:
        self._task = None

    def _look(self) -> None:
        manager = multiprocessing.parent_process()
        while True:
            if manager is None:
                time.sleep(LOOK_SECONDS)
            elif wait([manager.sentinel], LOOK_SECONDS):
                _leave()
            current = self._task
            if current is not None and current[1].exists():
                task = current[0]
                if isinstance(task, ShellTask):
                    end_script(task.folder)
                else:
                    os._exit(1)  # a Python function cannot be ended otherwise; its manager starts another worker


def _leave() -> None:
    """End with the manager: nobody would take the result, and the task may be running again elsewhere.

    With the process goes its group, which is that of the block on this node: of a manager that was killed, processes of
    Python's own stay behind in it.
    """
    end_script(None)
    os.killpg(0, signal.SIGKILL)


_watch = _Watch()
