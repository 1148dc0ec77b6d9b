"""Parsl, started for one run: an app for each kind of step, on the executor where it belongs."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parsl import python_app
from parsl.dataflow.dflow import DataFlowKernel
from parsl.executors import ThreadPoolExecutor
from parsl.executors.base import ParslExecutor

from metis_flow.engine.asking import AskingTask, run_asking
from metis_flow.engine.call import run_call
from metis_flow.engine.callers import CALLERS
from metis_flow.engine.chat import ChatTask
from metis_flow.engine.chunks import Chunk, Gathering, failing_with, run_chunk
from metis_flow.engine.loop_executor import LoopExecutor
from metis_flow.engine.outcome import CallTask, Outcome, ShellTask
from metis_flow.engine.shell import allow_scripts, close_guard, end_script, end_scripts, run_shell
from metis_flow.engine.spreading import Spreading
from metis_flow.engine.stop import Stop
from metis_flow.engine.subrun import WORKFLOWS, SubRuns, SubTask, run_sub
from metis_flow.engine.worker import run_task, taken_back
from metis_flow.engine.worker_chat import WorkerChatTask, run_worker_chat
from metis_flow.errors import EXIT_INTERRUPTED
from metis_flow.plan.plan import Plan
from metis_flow.sites.choice import choose_executor, executors_in_use, mpi_specification
from metis_flow.sites.config import SiteConfig
from metis_flow.sites.executors import CHAT
from metis_flow.sites.globus_compute import run_on_endpoint
from metis_flow.sites.parsl_config import driver_environment, instances_at_once, parsl_config
from metis_flow.workflow.definition import Resources, StepDef

WORK_WINDOW = 8
MOST_WORKFLOWS = 512
"""Threads for workflows that a workflow calls; each only waits for its own steps."""


@dataclass
class _Ticket:
    """One app call: who runs it, and whether anybody still waits for it.

    Attributes:
        mark: the file that tells a worker process of it; None in a thread, which sees the ticket itself.
    """

    mark: Path | None = None
    unwanted: bool = False


def _run_in_thread(task: Any, ticket: _Ticket) -> Outcome:
    if ticket.unwanted:
        return taken_back(task)
    if isinstance(task, WorkerChatTask):
        return run_worker_chat(task)
    return run_call(task) if isinstance(task, CallTask) else run_shell(task)


def _unpacked(future: Future[bytes]) -> Future[Outcome]:
    """The outcome that comes back pickled."""
    unpacked: Future[Outcome] = Future()

    def unpack(done: Future[bytes]) -> None:
        try:
            unpacked.set_result(pickle.loads(done.result()))
        except Exception as error:  # of Parsl, whoever waits sees to it
            unpacked.set_exception(error)

    future.add_done_callback(unpack)
    return unpacked


class ParslApps:
    """The apps of one run.

    Args:
        run_dir: Parsl's private folder, inside the run's own.
        concurrency: most calls in flight, for the window of chat steps.

    Attributes:
        sub_runs: who runs workflows that the workflow calls.
        spreading: from where calls go out.

    Raises:
        ConfigError: a step fits no executor of the site, or the site cannot be had here.
    """

    def __init__(self, plan: Plan, site: SiteConfig, run_dir: Path, *, concurrency: int) -> None:
        self._site = site
        self._run_dir = run_dir
        self._run_folder = str(run_dir.parent)
        self._tickets: dict[int, _Ticket] = {}
        self._numbers = itertools.count()
        self._apps: dict[tuple[str, Callable[..., Any]], Callable[..., Any]] = {}
        self.sub_runs: SubRuns | None = None
        uses = executors_in_use(site, plan.workflow)
        windows = {name: max(WORK_WINDOW, 4 * count) for name, count in instances_at_once(site, uses).items()}
        self._windows = {CHAT: 2 * concurrency, **windows}
        self.loop = LoopExecutor(CHAT)
        with contextlib.ExitStack() as undo:
            undo.callback(self.loop.loop.close)
            others: list[ParslExecutor] = [self.loop]
            if any(True for _ in plan.workflow.children):
                others.append(ThreadPoolExecutor(label=WORKFLOWS, max_threads=MOST_WORKFLOWS))
            config = parsl_config(site, run_dir, uses, others=others)
            undo.pop_all()
        allow_scripts(self._run_folder)
        logging.getLogger("parsl").setLevel(logging.CRITICAL)
        self._cleanup = contextlib.ExitStack()
        self._cleanup.enter_context(_variables(driver_environment(site)))
        self._kernel = DataFlowKernel(config)
        self.spreading = Spreading(self._kernel, self.loop, run_dir, self._call_out, self._ask)
        self._ready = Gathering(self.spreading.send)

    def executor_for(self, step: StepDef) -> str:
        """The executor that runs a step."""
        return WORKFLOWS if step.verb == "workflow" else choose_executor(self._site, step)

    def submit(self, executor: str, payload: Any, resources: Resources | None = None) -> Future[Outcome]:
        """Start one app call; its future gives the outcome. A chat instance may wait for `flush` or for others.

        Args:
            executor: a name that `executor_for` gave, or ``work`` for the site's default.
            resources: what the step asks for; whoever gives out whole nodes wants to know.
        """
        if executor == CHAT:
            if isinstance(payload, ChatTask):
                return self._ready.add(payload)
            return self._app(CHAT, run_asking)(payload)  # type: ignore[no-any-return]
        if executor == WORKFLOWS:
            return self._app(WORKFLOWS, run_sub)(payload, self.sub_runs)  # type: ignore[no-any-return]
        name = self._site.work[0] if executor == "work" and executor not in self._site.executors else executor
        kind = self._site.executors[name].kind
        if kind == "globus-compute":
            what = "call" if isinstance(payload, CallTask) else "shell"
            if isinstance(payload, CallTask):
                payload = payload.whole()  # the endpoint cannot read the run's folder
            return self._app(name, run_on_endpoint)(what, payload)  # type: ignore[no-any-return]
        if isinstance(payload, ChatTask):
            payload = WorkerChatTask.of(payload)
        ticket = self._tickets[id(payload)] = _Ticket()
        if kind == "threads":
            future: Future[Outcome] = self._app(name, _run_in_thread)(payload, ticket)
        else:
            ticket.mark = self._run_dir / f"unwanted-{next(self._numbers)}"
            wanted = {"parsl_resource_specification": mpi_specification(resources)} if kind == "mpi" else {}
            future = _unpacked(self._app(name, run_task)(pickle.dumps(payload), str(ticket.mark), **wanted))
        future.add_done_callback(lambda _: self._tickets.pop(id(payload), None))
        return future

    def flush(self) -> None:
        """Send the chat instances that were submitted and wait for others to share their app call."""
        self._ready.flush()
        self.spreading.look()

    def _ask(self, chunk: Chunk) -> None:
        self._app(CHAT, run_chunk)(chunk).add_done_callback(failing_with(chunk))

    def _call_out(self, data: bytes, mark: str) -> Future[bytes]:
        return self._app(CALLERS, run_task)(data, mark)  # type: ignore[no-any-return]

    def _app(self, executor: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if (executor, function) not in self._apps:
            app = python_app(function, data_flow_kernel=self._kernel, executors=[executor])
            self._apps[executor, function] = app
        return self._apps[executor, function]

    def end(self, payload: Any) -> None:
        """End one app call that may be running. Its future is not asked any more.

        A worker process looks every few seconds; a Python function in a thread, and a task of Globus Compute, go on.
        """
        if isinstance(payload, ChatTask | AskingTask):
            payload.ending.end()
            if isinstance(payload, ChatTask):
                self.spreading.end(payload)
        elif isinstance(payload, SubTask):
            payload.end(Stop("stopped", EXIT_INTERRUPTED, "the run that called it ends it"))
        ticket = self._tickets.get(id(payload))
        if ticket is None:
            return
        ticket.unwanted = True
        if ticket.mark is not None:
            ticket.mark.touch(mode=0o600)
        elif isinstance(payload, ShellTask):
            end_script(payload.folder)

    def window(self, executor: str) -> int:
        """How many instances of a step may be submitted and unfinished at once."""
        window = self._windows.get(executor, WORK_WINDOW)
        return self.spreading.window(window) if executor == CHAT else window

    def close(self, *, at_once: bool = False) -> None:
        """End Parsl.

        Args:
            at_once: end what runs instead of waiting for it. A Python function in a thread cannot be ended: it goes on
                until the process exits.
        """
        with self._cleanup:
            self.spreading.close()
            if at_once:
                end_scripts(self._run_folder)
                self._end_executors()
            else:
                self._kernel.cleanup()
            close_guard()

    def _end_executors(self) -> None:
        for executor in self._kernel.executors.values():
            if isinstance(executor, ThreadPoolExecutor):
                executor.executor.shutdown(wait=False, cancel_futures=True)
            else:
                executor.shutdown()


@contextlib.contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Have these variables in the environment of this process where they are not set."""
    missing = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
