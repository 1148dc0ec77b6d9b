"""The Python face: as short as the command line.

>>> from metis_flow import Workflow
>>> run = Workflow.load("workflows/elements.yaml").run(endpoint="embedded")  # doctest: +SKIP
>>> run.outputs["accuracy"]  # doctest: +SKIP
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metis_flow.plan.plan import Plan, make_plan
from metis_flow.record.folder import RunFolder, find_run
from metis_flow.record.rows_file import recorded_output
from metis_flow.record.state import RunState, read_in_order
from metis_flow.tasks.submitting import submit_with
from metis_flow.workflow.definition import WorkflowDef
from metis_flow.workflow.load import load_workflow

if TYPE_CHECKING:
    from concurrent.futures import Future

    from metis_flow.engine.progress import Progress
    from metis_flow.inference.models import Wait
    from metis_flow.plan.selection import Selection
    from metis_flow.tasks import Task
    from metis_flow.views.progress import ProgressView

RUNS_DIR = Path("runs")


def _submit(task: Task[..., Any], arguments: Mapping[str, Any], **places: Any) -> Future[Any]:
    from metis_flow.engine.single import submit_task

    return submit_task(task, arguments, **places)


submit_with(_submit)


class Run:
    """One run, as its record tells it. It can be read while the run is going on, and long after.

    Args:
        folder: the record.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._state: RunState | None = None
        self._going: Future[Run] | None = None

    @classmethod
    def open(cls, ref: str, runs_dir: str | Path = RUNS_DIR) -> Run:
        """The run of an id, a unique prefix, a path, or ``last``.

        Raises:
            RecordError: there is no such run.
        """
        return cls(find_run(ref, Path(runs_dir)))

    @property
    def state(self) -> RunState:
        """What the record says; read again as long as the run is going on."""
        if self._state is None or self._state.status == "running":
            self._state = RunState.read(self.folder)
        return self._state

    @property
    def id(self) -> str:
        """The run's id."""
        return self.folder.id

    @property
    def status(self) -> str:
        """``running``, ``done``, ``failed``, ``stopped``, ``paused`` or ``died``."""
        return self.state.status

    @property
    def outputs(self) -> dict[str, Any]:
        """The workflow's outputs, by name; null where one could not be had."""
        return self.state.outputs or {}

    def rows(self, step: str) -> Iterator[dict[str, Any]]:
        """A row for each instance, in item order: key, status, output and error. Pandas takes them as they are."""
        for entry in read_in_order(self.folder, step):
            yield self._row(entry)

    async def stream(self, step: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """A row for each instance as it ends, with its ``step``; those that have ended first. Ends with the run.

        Args:
            step: only this one's.

        Raises:
            RecordError: the record is damaged.
        """
        import asyncio

        from metis_flow.record.ownership import holder_of
        from metis_flow.views.following import LOOK_SECONDS, JournalTail

        tail = JournalTail(self.folder.journal)
        while True:
            # before the journal: a driver that ends in between has left its last entries there
            holder = holder_of(self.folder)
            goes_on = holder is not None and not holder.gone(time.time())
            for entry in tail.news():
                is_end = entry["e"] in ("done", "skipped") or (entry["e"] == "failed" and entry.get("final", True))
                if is_end and step in (None, entry["step"]):
                    yield {"step": entry["step"], **self._row(entry)}
            if not goes_on:
                return
            await asyncio.sleep(LOOK_SECONDS)

    def wait(self) -> Run:
        """Wait for a run that `Workflow.start` has started.

        Raises:
            MetisFlowError: it could not go on.
        """
        if self._going is not None:
            self._going.result()
        return self

    def resume(self, *, failed: bool = False, accept: bool = False) -> Run:
        """Go on with a run that was stopped, paused or killed; one that has ended stays as it is.

        Args:
            failed: run failed instances again, and what depends on them.
            accept: go on although the workflow file has changed since.

        Raises:
            RecordError: another process drives the run, or its workflow is gone or has changed.
        """
        from metis_flow.engine.options import RunOptions
        from metis_flow.engine.resume import resume_run

        self._state = resume_run(self.folder, RunOptions(), failed=failed, accept=accept)
        return self

    def _row(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "key": entry.get("key"),
            "status": entry["e"],
            "output": recorded_output(entry, self.folder.path),
            "error": (entry.get("error") or {}).get("summary") or entry.get("reason"),
        }

    def _repr_html_(self) -> str:
        from metis_flow.views.notebook import run_html

        return run_html(self.folder)

    def __repr__(self) -> str:
        return f"<Run {self.id}: {self.status}>"


def _notebook_view() -> ProgressView | None:
    """The progress of a run as lines, in a notebook; elsewhere whoever calls decides what is shown."""
    if "ipykernel" not in sys.modules:
        return None
    from metis_flow.views.progress import progress_view

    return progress_view(sys.stderr, os.environ)


class Workflow:
    """A loaded workflow file.

    Args:
        definition: the checked file.
    """

    def __init__(self, definition: WorkflowDef) -> None:
        self.definition = definition

    @classmethod
    def load(cls, path: str | Path) -> Workflow:
        """Read and check a workflow file.

        Raises:
            WorkflowInvalid: with every mistake found, each with file, line and column.
        """
        return cls(load_workflow(path))

    @property
    def name(self) -> str:
        """The workflow's name."""
        return self.definition.name

    def plan(self, params: Mapping[str, Any] | None = None, *, limit: int | None = None) -> Plan:
        """What a run would do.

        Raises:
            ParameterError: a parameter is unknown, missing or out of bounds.
        """
        return make_plan(self.definition, params, limit=limit)

    def run(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        site: str | None = None,
        endpoint: str | None = None,
        runs_dir: str | Path = RUNS_DIR,
        limit: int | None = None,
        wait: Wait | None = None,
        on_start: Callable[[Progress], None] | None = None,
        time_limit: float | None = None,
        cache: bool = True,
        force: Iterable[str] = (),
        selection: Selection | None = None,
    ) -> Run:
        """Run it to its end.

        Args:
            params: values of parameters.
            site: where steps run; `local` if None.
            endpoint: who answers, where it is not the workflow's own.
            runs_dir: where the record is made.
            limit: cut each first fan-out to so many items.
            wait: wait for a login, and for models that are not live: ``coming`` (Starting or Queued) or ``any``.
            on_start: called with the run's counts, which then change as it goes on.
            time_limit: seconds after which the run is stopped; it can be resumed.
            cache: use results of earlier runs in `runs_dir`, where nothing that they depend on has changed.
            force: steps whose instances run again all the same.
            selection: the part of the workflow to run; None for all of it.

        Raises:
            ConfigError: the endpoint or the site is not there, or no model is named.
            UsageError: a step that is named is not there.
        """
        from metis_flow.engine.options import RunOptions
        from metis_flow.engine.run import start_run

        plan = self.plan(params, limit=limit)
        view = _notebook_view() if on_start is None else None
        options = RunOptions(
            endpoint=endpoint,
            site=site,
            runs_dir=Path(runs_dir),
            wait=wait,
            on_start=view.start if view is not None else on_start,
            time_limit=time_limit,
            cache=cache,
            forced=frozenset(force),
            selection=selection,
        )
        try:
            return Run(RunFolder(Path(start_run(plan, options).path)))
        finally:
            if view is not None:
                view.stop()

    def start(self, params: Mapping[str, Any] | None = None, *, runs_dir: str | Path = RUNS_DIR, **options: Any) -> Run:
        """Begin to run it in the background; returns once its record is there. See `Run.stream` and `Run.wait`.

        Args:
            options: those of `run`, but ``on_start``.

        Raises:
            MetisFlowError: it could not begin.
        """
        import threading
        from concurrent.futures import Future

        begun: Future[str] = Future()
        ended: Future[Run] = Future()

        def drive() -> None:
            try:
                run = self.run(params, runs_dir=runs_dir, on_start=lambda now: begun.set_result(now.run), **options)
            except BaseException as error:
                (ended if begun.done() else begun).set_exception(error)
            else:
                ended.set_result(run)

        threading.Thread(target=drive, name=f"run of {self.name}", daemon=True).start()
        run = Run(RunFolder(Path(runs_dir).absolute() / begun.result()))
        run._going = ended
        return run

    def _repr_html_(self) -> str:
        from metis_flow.views.notebook import workflow_html

        return workflow_html(self.definition)

    def __repr__(self) -> str:
        return f"<Workflow {self.name}: {', '.join(self.definition.steps)}>"
