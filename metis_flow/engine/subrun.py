"""The app of an instance that is another workflow: a run inside the run, with a record of its own in its folder."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from metis_flow.engine.entries import started
from metis_flow.engine.outcome import Outcome
from metis_flow.engine.stop import Stop
from metis_flow.engine.validate import check_schema
from metis_flow.errors import MetisFlowError, StepFailed
from metis_flow.inference.errors import Withdrawn
from metis_flow.plan.plan import Plan
from metis_flow.record.earlier import Earlier
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter
from metis_flow.record.ownership import Ownership
from metis_flow.record.state import RunState

if TYPE_CHECKING:
    from metis_flow.engine.scheduler import Scheduler

WORKFLOWS = "workflows"
"""The executor of such instances: threads of the driver, each waiting for its steps."""


@dataclass(eq=False)
class SubTask:
    """One call of a workflow.

    Attributes:
        label: ``step@key``, for messages.
        plan: the workflow, with its parameters bound.
        folder: of its record, absolute.
        relative: that folder, relative to the run that calls.
        schema: of the step's ``output``, where it has one.
        own_only: whether it made something that is of no use to other runs.
        scheduler: who runs it, while it goes on.
        stop: why it was stopped, if it was.
        unwanted: nobody waits for it any more.
    """

    label: str
    plan: Plan
    folder: Path
    relative: str
    schema: dict[str, Any] | None
    scheduler: Scheduler | None = field(default=None, repr=False)
    unwanted: bool = False
    own_only: bool = False
    stop: Stop | None = None

    def end(self, stop: Stop) -> None:
        """End it; calls in flight are kept. Safe from any thread."""
        self.unwanted = True
        scheduler = self.scheduler
        if scheduler is not None:
            scheduler.post(scheduler.give_up, stop)


class SubRuns(Protocol):
    """Who can run a workflow inside a run."""

    def open_record(self, task: SubTask, folder: RunFolder) -> None:
        """Write down what it is started with."""

    def scheduler(self, task: SubTask, folder: RunFolder, journal: JournalWriter, own: Earlier | None) -> Scheduler:
        """Who runs it."""

    def finish(self, scheduler: Scheduler, folder: RunFolder, journal: JournalWriter) -> None:
        """Write down how it ended."""


def run_sub(task: SubTask, means: SubRuns) -> Outcome:
    """Run a workflow to its end, or go on with it; its output is the workflow's outputs."""
    began = time.time()
    folder = RunFolder(task.folder)
    try:
        earlier = folder.lock_file.is_file()
        if not earlier:
            folder.lay_out()
            means.open_record(task, folder)
        with Ownership.acquire(folder) as ownership:
            own = Earlier(folder, keep_failures=False) if earlier else None
            _drive(task, folder, ownership, own, means)
        state = RunState.read(folder)
        value = dict(state.outputs or {})
        error = _problem(task, state)
        if error is None:
            check_schema(value, task.schema)
    except MetisFlowError as failure:
        failure.where = failure.where or task.label
        return Outcome(error=failure, began=began, ended=time.time())
    return Outcome(
        value=None if error else value,
        error=error,
        began=began,
        ended=time.time(),
        folder=task.relative,
        calls=state.calls,
        usage=state.usage,
        own_only=task.own_only,
        is_inside=True,
        stop=task.stop,
    )


def _drive(task: SubTask, folder: RunFolder, ownership: Ownership, own: Earlier | None, means: SubRuns) -> None:
    journal = JournalWriter(folder.journal, guard=ownership.check)
    try:
        journal.append(started(folder.id, ownership.generation, resumed=own is not None))
        scheduler = task.scheduler = means.scheduler(task, folder, journal, own)
        if task.unwanted:
            raise Withdrawn
        scheduler.run()
        task.own_only, task.stop = scheduler.own_only, scheduler.stop
        means.finish(scheduler, folder, journal)
    finally:
        task.scheduler = None
        journal.close()


def _problem(task: SubTask, state: RunState) -> MetisFlowError | None:
    """Why a workflow that was called gives nothing; None where it ended well."""
    if state.status == "done":
        return None
    if state.status != "failed":
        return Withdrawn()
    reason = (state.reason or "failed").removeprefix("failed: ")
    return StepFailed(
        f"the workflow '{task.plan.workflow.name}' failed: {reason}",
        where=task.label,
        hint=f"metis-flow errors {task.folder}",
    )
