"""One run from start to end: record, endpoint, Parsl, steps, outputs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from metis_flow.engine import answerer as answerers
from metis_flow.engine.apps import ParslApps
from metis_flow.engine.budget import Budget
from metis_flow.engine.locking import lock_run
from metis_flow.engine.options import RunOptions
from metis_flow.engine.prepare import Preparer
from metis_flow.engine.progress import Progress, new_progress
from metis_flow.engine.scheduler import Reuse, Scheduler
from metis_flow.engine.scope import plain, step_view
from metis_flow.engine.stop import Stop
from metis_flow.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_STOPPED,
    LoginRequired,
    MetisFlowError,
)
from metis_flow.inference.client import Inference
from metis_flow.inference.models import check_models
from metis_flow.inference.tokens import TokenProvider, take_secrets
from metis_flow.plan.plan import Plan
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter
from metis_flow.record.ownership import Ownership
from metis_flow.record.state import RunState
from metis_flow.sites.config import DEFAULT_SITE, SiteConfig, find_site
from metis_flow.workflow.trees import templates


def _nothing_made_before(step: str, key: str | None, content: str) -> None:
    """A fresh run has no results to use again."""


def start_run(plan: Plan, options: RunOptions) -> RunState:
    """Run a plan, and return what its record then says.

    Raises:
        ConfigError: the endpoint, the site or a model is not there, or a model is not live.
        LoginRequired: there is no usable login, before the first call. The run can be resumed after one.
    """
    answerer = answerers.choose(plan, options.endpoint)
    site = find_site(options.site or DEFAULT_SITE, beside=plan.workflow.folder)
    folder = RunFolder.create(options.runs_dir, plan.workflow.name)
    lock_run(plan, folder, answerer, site, options)
    return drive(plan, options, folder, answerer, site)


def drive(
    plan: Plan,
    options: RunOptions,
    folder: RunFolder,
    answerer: answerers.Answerer | None,
    site: SiteConfig,
    *,
    reuse: Reuse = _nothing_made_before,
    budget: Budget | None = None,
    resumed: bool = False,
) -> RunState:
    """Be the driver of a run until it ends or is stopped.

    Args:
        reuse: finds results that need not be made again.
        budget: what it may spend on calls; the workflow's limits if None.
        resumed: whether this is not the first part of the run.

    Raises:
        RecordError: another process drives it.
    """
    secrets = take_secrets(answerer.endpoint) if answerer is not None else None
    budget = budget or Budget(plan.workflow.limits)
    with Ownership.acquire(folder) as ownership:
        notes: list[str] = []
        journal = JournalWriter(folder.journal, guard=ownership.check, on_trouble=partial(_tell_trouble, notes))
        try:
            start = {"host": socket.gethostname(), "pid": os.getpid(), "generation": ownership.generation}
            journal.append({"e": "start", "run": folder.id, **start, "resumed": resumed})
            _Run(plan, options, folder, journal, answerer, site, secrets, reuse, budget, notes).execute()
        except MetisFlowError as error:
            status = "paused" if isinstance(error, LoginRequired) else "stopped"
            journal.append({"e": "end", "status": status, "exit": error.exit_code, "reason": error.summary})
            raise
        finally:
            journal.close()
    return RunState.read(folder)


def _tell_trouble(notes: list[str], error: BaseException | None) -> None:
    """What keeps the journal from being written, for the user to see: a full disk is waited out."""
    if isinstance(error, OSError):
        notes.append(f"the record cannot be written ({error.strerror}); the run waits until it can")
    elif error is not None:
        notes.append(f"the record is not written any more: {error}")
    else:
        notes.append("the record is written again")


class _Run:
    """What is needed while a run is going on."""

    def __init__(
        self,
        plan: Plan,
        options: RunOptions,
        folder: RunFolder,
        journal: JournalWriter,
        answerer: answerers.Answerer | None,
        site: SiteConfig,
        secrets: TokenProvider | None,
        reuse: Reuse,
        budget: Budget,
        notes: list[str],
    ) -> None:
        self.plan, self.options, self.folder, self.journal = plan, options, folder, journal
        self.site = site
        self.reuse = reuse
        self.budget = budget
        self.progress: Progress = new_progress(plan, folder.id)
        self.progress.notes = notes
        self.progress.limiter = lambda: self.inference.snapshot() if self.inference is not None else None
        self.progress.notes.extend(answerers.remarks(plan, answerer) if answerer is not None else [])
        self.answerer = answerer
        self.inference: Inference | None = None
        if answerer is not None:
            self.inference = Inference(
                answerer.endpoint,
                concurrency=plan.workflow.limits.concurrency,
                tokens=secrets,
                on_note=self._note,
                patient=options.wait is not None,
            )

    def execute(self) -> None:
        """Start everything, run the steps, end everything, and write down how it ended."""
        parsl_dir = self.folder.path / "parsl"
        shutil.rmtree(parsl_dir, ignore_errors=True)  # a killed driver leaves its own behind
        parsl_dir.mkdir(mode=0o700)
        concurrency = self.inference.snapshot().limit if self.inference is not None else 1
        apps = ParslApps(self.plan, self.site, parsl_dir, concurrency=concurrency)
        finished = False
        try:
            if self.options.on_start is not None:
                self.options.on_start(self.progress)
            if self.inference is not None:
                apps.loop.wait_for(self._open(self.inference))
            scheduler = self._scheduler(apps)
            with self._signals(scheduler):
                scheduler.run()
            finished = not scheduler.abandoned
            self._write_end(scheduler)
        finally:
            self.progress.finished = True
            if self.inference is not None:
                apps.loop.wait_for(self.inference.close())
            apps.close(at_once=not finished)
        shutil.rmtree(parsl_dir, ignore_errors=True)

    async def _open(self, inference: Inference) -> None:
        """Start the client, and see that the models are there before the first call."""
        await inference.open()
        if self.answerer is not None and self.answerer.forced_model is None:
            names = [name for name in answerers.step_models(self.plan, self.answerer).values() if name is not None]
            await check_models(inference, names, wait=self.options.wait, progress=self.progress.notes.append)

    def _scheduler(self, apps: ParslApps) -> Scheduler:
        answerer = self.answerer
        preparer = Preparer(
            self.plan,
            self.folder,
            self.journal,
            self.inference,
            default_model=answerer.default_model if answerer is not None else None,
            forced_model=answerer.forced_model if answerer is not None else None,
        )
        return Scheduler(
            self.plan,
            self.folder.id,
            apps,
            preparer,
            self.journal,
            self.reuse,
            self.progress,
            self.budget,
            self._limiter,
            partial(self._withdraw, apps),
        )

    def _withdraw(self, apps: ParslApps) -> None:
        """Send no call that has not been sent."""
        if self.inference is not None:
            apps.loop.loop.call_soon_threadsafe(self.inference.withdraw)

    def _limiter(self) -> Mapping[str, Any]:
        return asdict(self.inference.snapshot()) if self.inference is not None else {}

    def _note(self, note: Mapping[str, Any]) -> None:
        self.journal.append({"e": "note", **note})
        if note.get("kind") == "login":
            self.progress.notes.append(f"waiting for a login: {note['reason']}; type: {note['hint']}")

    @contextlib.contextmanager
    def _signals(self, scheduler: Scheduler) -> Iterator[None]:
        """First Ctrl-C or SIGTERM drains, a second Ctrl-C ends at once."""
        if not self.options.handle_signals or threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupt(number: int, frame: Any) -> None:
            if scheduler.stop is not None:
                scheduler.post(scheduler.abandon)
            else:
                resume = f"metis-flow resume {self.folder.id}"
                scheduler.post(scheduler.drain, Stop("stopped", EXIT_INTERRUPTED, "interrupted", resume))

        def terminate(number: int, frame: Any) -> None:
            scheduler.post(scheduler.drain, Stop("stopped", EXIT_STOPPED, "ended by SIGTERM"))

        before = {signal.SIGINT: signal.signal(signal.SIGINT, interrupt)}
        before[signal.SIGTERM] = signal.signal(signal.SIGTERM, terminate)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _write_end(self, scheduler: Scheduler) -> None:
        stop = scheduler.stop
        through = all(step.is_closed for step in scheduler.steps.values())
        if stop is not None and not through:
            end = {"status": stop.status, "exit": stop.exit_code, "reason": stop.reason, "hint": stop.hint}
        else:
            self._write_outputs(scheduler)
            failed = sorted(name for name, step in scheduler.steps.items() if step.status == "failed")
            reason = f"failed: {', '.join(failed)}" if failed else None
            end = {
                "status": "failed" if failed else "done",
                "exit": EXIT_FAILED if failed else EXIT_DONE,
                "reason": reason,
            }
        self.journal.append({"e": "end", **{name: value for name, value in end.items() if value is not None}})

    def _write_outputs(self, scheduler: Scheduler) -> None:
        """The workflow's outputs; one that cannot be had is null, with the reason."""
        views = {
            name: step_view(step.definition, step.status, step.kept, step.error)
            for name, step in scheduler.steps.items()
        }
        scope = {"params": self.plan.params, "run": {"id": self.folder.id}, "steps": views}
        outputs: dict[str, Any] = {}
        missing: dict[str, str] = {}
        for name, value in self.plan.workflow.outputs.items():
            outputs[name], reason = _output(value, scope, scheduler)
            if reason is not None:
                missing[name] = reason
        self.journal.append({"e": "outputs", "outputs": outputs, "missing": missing})
        self.folder.write_json("outputs/outputs.json", outputs)


def _output(value: Any, scope: Mapping[str, Any], scheduler: Scheduler) -> tuple[Any, str | None]:
    found = list(templates(value))
    # an expression that asks for a status decides itself what to do about it
    trusting = [template for template in found if not any(path.endswith(".status") for path in template.paths)]
    steps = {ref.step for template in trusting for ref in template.refs if ref.field in ("output", "outputs")}
    for name in sorted(steps):
        step = scheduler.steps[name]
        if step.status in ("failed", "skipped"):
            return None, f"the step '{name}' {'failed' if step.status == 'failed' else 'was skipped'}"
    try:
        return plain(value.evaluate(scope)), None
    except MetisFlowError as error:
        return None, error.summary
