"""One run from start to end: record, endpoint, Parsl, steps, outputs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from metis_flow.engine import answerer as answerers
from metis_flow.engine.apps import ParslApps
from metis_flow.engine.budget import Budget
from metis_flow.engine.collecting import rare_collections
from metis_flow.engine.deadline import Deadline, deadline_of
from metis_flow.engine.entries import started
from metis_flow.engine.finish import write_end
from metis_flow.engine.locking import lock_run
from metis_flow.engine.notify import tell_the_user
from metis_flow.engine.options import RunOptions
from metis_flow.engine.prepare import Preparer
from metis_flow.engine.progress import Progress, new_progress
from metis_flow.engine.reuse import Results, results_for
from metis_flow.engine.scheduler import Outside, Scheduler
from metis_flow.engine.signals import obeying_signals
from metis_flow.engine.stop import Stop
from metis_flow.engine.subrun import SubTask
from metis_flow.engine.wishes import wishes_of
from metis_flow.engine.worker_chat import check_calls
from metis_flow.errors import (
    LoginRequired,
    MetisFlowError,
    RecordError,
    UsageError,
    did_you_mean,
)
from metis_flow.inference.client import Inference
from metis_flow.inference.models import check_models
from metis_flow.inference.tokens import TokenProvider, take_secrets
from metis_flow.plan.plan import Plan
from metis_flow.record.earlier import Earlier
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter
from metis_flow.record.ownership import Ownership
from metis_flow.record.state import RunState
from metis_flow.sites.choice import executors_in_use
from metis_flow.sites.config import DEFAULT_SITE, SiteConfig, find_site
from metis_flow.sites.walltime import remaining_walltime


def start_run(plan: Plan, options: RunOptions) -> RunState:
    """Run a plan, and return what its record then says.

    Raises:
        ConfigError: the endpoint, the site or a model is not there, or a model is not live.
        LoginRequired: there is no usable login, before the first call. The run can be resumed after one.
    """
    answerer, site = make_choices(plan, options)
    folder = _begin_record(plan, answerer, site, options)
    return drive(plan, options, folder, answerer, site)


def _begin_record(plan: Plan, answerer: answerers.Answerer | None, site: SiteConfig, options: RunOptions) -> RunFolder:
    """The folder of a new run with all that it is started with; nothing is left of one that cannot be written.

    Raises:
        RecordError: it cannot.
    """
    folder: RunFolder | None = None
    try:
        folder = RunFolder.create(options.runs_dir, plan.workflow.name)
        lock_run(plan, folder, answerer, site, options)
    except OSError as error:
        if folder is not None:
            shutil.rmtree(folder.path, ignore_errors=True)
        raise RecordError(
            f"the record of the run cannot be written: {error.strerror}",
            where=str(options.runs_dir),
            hint="nothing was run; free some space, or say with --runs-dir where there is room",
        ) from None
    return folder


def make_choices(plan: Plan, options: RunOptions) -> tuple[answerers.Answerer | None, SiteConfig]:
    """Who answers, and where steps run; no answerer where no step needs one.

    Raises:
        ConfigError: the endpoint or the site is not there, or a step fits none of its executors.
        UsageError: a step that the options name is not there.
    """
    answerer = answerers.choose(plan, options.endpoint)
    site = find_site(options.site or DEFAULT_SITE, beside=plan.workflow.folder, settings=options.settings)
    check_choices(plan, options)
    executors_in_use(site, plan.workflow)
    check_calls(plan, site, answerer.endpoint if answerer is not None else None)
    return answerer, site


def check_choices(plan: Plan, options: RunOptions) -> None:
    """Refuse names of steps that are not there.

    Raises:
        UsageError: ``--force``, ``--only``, ``--from`` or ``--until`` names no step, or nothing is left to run.
    """
    for step in sorted(options.forced - plan.steps.keys()):
        raise UsageError(f"there is no step '{step}' to force", hint=did_you_mean(step, plan.steps))
    if options.selection is not None:
        options.selection.roles(plan.graph)


def drive(
    plan: Plan,
    options: RunOptions,
    folder: RunFolder,
    answerer: answerers.Answerer | None,
    site: SiteConfig,
    *,
    reuse: Results | None = None,
    budget: Budget | None = None,
    on_owned: Callable[[], None] = lambda: None,
    resumed: bool = False,
) -> RunState:
    """Be the driver of a run until it ends or is stopped.

    Args:
        reuse: results that need not be made again; None for those of earlier runs only.
        budget: what it may spend on calls; the workflow's limits if None.
        on_owned: called once nobody else drives the run, before anything of it starts.
        resumed: whether this is not the first part of the run.

    Raises:
        RecordError: another process drives it.
    """
    secrets = take_secrets(answerer.endpoint) if answerer is not None else None
    reuse = reuse or results_for(plan, options, folder)
    budget = budget or Budget(plan.workflow.limits)
    with Ownership.acquire(folder) as ownership, rare_collections():
        on_owned()
        notes: list[str] = []
        trouble = _Trouble(notes)
        journal = JournalWriter(folder.journal, guard=ownership.check, on_trouble=trouble.tell)
        try:
            journal.append(started(folder.id, ownership.generation, resumed=resumed))
            _Run(plan, options, folder, journal, answerer, site, secrets, reuse, budget, trouble).execute()
        except MetisFlowError as error:
            status = "paused" if isinstance(error, LoginRequired) else "stopped"
            journal.append({"e": "end", "status": status, "exit": error.exit_code, "reason": error.summary})
            raise
        finally:
            tell_the_user(plan.workflow, folder, journal, ownership.generation)
            journal.close()
    return RunState.read(folder)


class _Trouble:
    """What keeps the journal from being written: a full disk is waited out, anything else ends the run at once.

    Args:
        notes: lines for the user.
    """

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes
        self.halt: Callable[[], None] = lambda: None

    def tell(self, error: BaseException | None) -> None:
        """The journal cannot be written, or can be again."""
        if error is None:
            self.notes.append("the record is written again")
        elif isinstance(error, OSError):
            self.notes.append(f"the record cannot be written ({error.strerror}); the run waits until it can")
        else:
            self.notes.append(f"the record is not written any more: {error}")
            self.halt()  # what would be answered now could not be kept


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
        reuse: Results,
        budget: Budget,
        trouble: _Trouble,
    ) -> None:
        self.plan, self.options, self.folder, self.journal = plan, options, folder, journal
        self.site = site
        self.reuse = reuse
        self.budget = budget
        self.trouble = trouble
        self.inside: set[Scheduler] = set()
        self.deadline = self._deadline(trouble.notes)
        self.progress: Progress = new_progress(plan, folder.id)
        self.progress.notes = trouble.notes
        self.progress.deadline = self.deadline.ends if self.deadline is not None else None
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
        apps.spreading.told(self.progress, self._note)
        finished = False
        for wish in wishes_of(self.folder):
            wish.granted()  # it was for an earlier part of the run, which has ended
        try:
            if self.options.on_start is not None:
                self.options.on_start(self.progress)
            if self.inference is not None:
                apps.loop.wait_for(self._open(self.inference))
            apps.sub_runs = SubRunsOf(self, apps)
            scheduler = self.scheduler(self.plan, self.folder, self.journal, self.reuse, self.progress, apps)
            self.trouble.halt = partial(self._halt, scheduler, apps)
            with obeying_signals(scheduler, self.folder.id, wanted=self.options.handle_signals):
                scheduler.run()
            finished = not (scheduler.abandoned or scheduler.hasty)
            write_end(scheduler, self.folder, self.journal, self.trouble.tell)
        finally:
            self.progress.finished = True
            for scheduler in tuple(self.inside):
                scheduler.post(scheduler.abandon)
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

    def scheduler(
        self,
        plan: Plan,
        folder: RunFolder,
        journal: JournalWriter,
        reuse: Results,
        progress: Progress,
        apps: ParslApps,
    ) -> Scheduler:
        """Who runs a plan with all that this run has: the plan of the run itself, or one that it calls."""
        answerer = self.answerer
        preparer = Preparer(
            plan,
            folder,
            journal,
            self.inference,
            default_model=answerer.default_model if answerer is not None else None,
            forced_model=answerer.forced_model if answerer is not None else None,
        )
        is_own = folder is self.folder
        outside = Outside(partial(self._stopping, apps), partial(wishes_of, folder)) if is_own else None
        selection = self.options.selection if is_own else None
        return Scheduler(
            plan,
            folder.id,
            apps,
            preparer,
            journal,
            reuse,
            progress,
            self.budget,
            deadline=self.deadline,
            selection=selection,
            outside=outside,
        )

    def _stopping(self, apps: ParslApps, stop: Stop) -> None:
        """Nothing more is started, here or in what the run calls; no call is sent that has not been sent."""
        for scheduler in tuple(self.inside):
            scheduler.post(scheduler.drain, stop)
        if stop.withdraws:
            self._withdraw(apps)

    def _halt(self, scheduler: Scheduler, apps: ParslApps) -> None:
        """End at once, from any thread."""
        self._withdraw(apps)
        for one in (scheduler, *tuple(self.inside)):
            one.post(one.abandon)

    def _deadline(self, notes: list[str]) -> Deadline | None:
        """When the run must have ended: by ``--time-limit``, or with the job that it runs in."""
        walltime = remaining_walltime()
        if walltime is not None and walltime.problem is not None:
            notes.append(f"the walltime of the {walltime.scheduler} job cannot be told: {walltime.problem}")
        return deadline_of(self.options.time_limit, walltime)

    def _withdraw(self, apps: ParslApps) -> None:
        """Send no call that has not been sent."""
        if self.inference is not None:
            apps.loop.loop.call_soon_threadsafe(self.inference.withdraw)
            apps.spreading.withdraw()

    def _note(self, note: Mapping[str, Any]) -> None:
        self.journal.append({"e": "note", **note})
        if note.get("kind") == "login":
            self.progress.notes.append(f"waiting for a login: {note['reason']}; type: {note['hint']}")


class SubRunsOf:
    """Runs the workflows that a run calls, with the run's own endpoint, executors, limits and clock."""

    def __init__(self, run: _Run, apps: ParslApps) -> None:
        self._run = run
        self._apps = apps

    def open_record(self, task: SubTask, folder: RunFolder) -> None:
        """Write down what a called workflow is started with."""
        lock_run(task.plan, folder, self._run.answerer, self._run.site, self._run.options)

    def scheduler(self, task: SubTask, folder: RunFolder, journal: JournalWriter, own: Earlier | None) -> Scheduler:
        """Who runs it."""
        run = self._run
        progress = new_progress(task.plan, folder.id)
        progress.limiter = run.progress.limiter
        scheduler = run.scheduler(task.plan, folder, journal, Results(own, None), progress, self._apps)
        run.inside.add(scheduler)
        return scheduler

    def finish(self, scheduler: Scheduler, folder: RunFolder, journal: JournalWriter) -> None:
        """Write down how it ended."""
        self._run.inside.discard(scheduler)
        write_end(scheduler, folder, journal, self._run.trouble.tell)
