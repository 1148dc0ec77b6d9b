"""Parsl, started for one run: an app for each kind of step, on the executor where it belongs."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from parsl import python_app
from parsl.dataflow.dflow import DataFlowKernel
from parsl.executors import ThreadPoolExecutor

from metis_flow.engine.call import run_call
from metis_flow.engine.chat import run_chat
from metis_flow.engine.loop_executor import LoopExecutor
from metis_flow.engine.outcome import CallTask, Outcome
from metis_flow.engine.shell import allow_scripts, end_scripts, run_shell
from metis_flow.plan.plan import Plan
from metis_flow.sites.config import SiteConfig
from metis_flow.sites.parsl_config import parsl_config

CHAT = "chat"
WORK_WINDOW = 8


class ParslApps:
    """The apps of one run.

    Args:
        run_dir: Parsl's private folder, inside the run's own.
        concurrency: most calls in flight, for the window of chat steps.
    """

    def __init__(self, plan: Plan, site: SiteConfig, run_dir: Path, *, concurrency: int) -> None:
        verbs = {step.verb for step in plan.workflow.steps.values()}
        self.loop = LoopExecutor(CHAT)
        work, settings = site.work
        self._workers = settings.worker_count
        self._concurrency = concurrency
        self._run_folder = str(run_dir.parent)
        allow_scripts(self._run_folder)
        logging.getLogger("parsl").setLevel(logging.CRITICAL)
        config = parsl_config(site, run_dir, work=bool(verbs - {"chat"}), others=[self.loop])
        self._kernel = DataFlowKernel(config)
        self._chat = python_app(run_chat, data_flow_kernel=self._kernel, executors=[CHAT])
        self._shell = python_app(run_shell, data_flow_kernel=self._kernel, executors=[work])
        self._call = python_app(run_call, data_flow_kernel=self._kernel, executors=[work])

    def submit(self, executor: str, payload: Any) -> Future[Outcome]:
        """Start one app call; its future gives the outcome."""
        compute = self._call if isinstance(payload, CallTask) else self._shell
        app = self._chat if executor == CHAT else compute
        future: Future[Outcome] = app(payload)
        return future

    def window(self, executor: str) -> int:
        """How many instances of a step may be submitted and unfinished at once."""
        if executor == CHAT:
            return 2 * self._concurrency
        return max(WORK_WINDOW, 4 * self._workers)

    def close(self, *, at_once: bool = False) -> None:
        """End Parsl.

        Args:
            at_once: end what runs instead of waiting for it. A Python function in a thread cannot be ended: it goes on
                until the process exits.
        """
        if not at_once:
            self._kernel.cleanup()
            return
        end_scripts(self._run_folder)
        for executor in self._kernel.executors.values():
            if isinstance(executor, ThreadPoolExecutor):
                executor.executor.shutdown(wait=False, cancel_futures=True)
            else:
                executor.shutdown()
