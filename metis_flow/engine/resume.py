"""Goes on with a run that did not end, or runs what failed in it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from metis_flow.engine import answerer as answerers
from metis_flow.engine.budget import Budget
from metis_flow.engine.changes import changed_files, refusal
from metis_flow.engine.foresight import foresee
from metis_flow.engine.locking import accept_changes, as_chosen
from metis_flow.engine.options import RunOptions
from metis_flow.engine.reuse import results_for
from metis_flow.engine.run import check_choices, drive
from metis_flow.errors import RecordError
from metis_flow.plan.plan import Plan, load_plan
from metis_flow.record.earlier import Earlier
from metis_flow.record.folder import RunFolder
from metis_flow.record.lockfile import RunLock, read_lock
from metis_flow.record.state import RunState
from metis_flow.sites.config import find_site


def resume_run(folder: RunFolder, options: RunOptions, *, failed: bool = False, accept: bool = False) -> RunState:
    """Go on with a run; one that has ended is left as it is, unless a step of it is forced.

    Args:
        options: what differs from the run's own; ``endpoint`` and ``site`` None for those of its lock.
        failed: run failed instances again, and what depends on them.
        accept: go on although the workflow has changed since.

    Raises:
        RecordError: another process drives the run, its record is damaged, or its workflow is gone or has changed.
    """
    state = RunState.read(folder)
    again = failed and (state.status == "failed" or any(counts.failed for counts in state.steps.values()))
    if state.status in ("done", "failed") and not again and not options.forced:
        return state
    lock = read_lock(folder)
    plan = _plan_of(lock)
    redone = options.forced
    options = as_chosen(lock, replace(options, runs_dir=folder.path.parent))
    check_choices(plan, options)
    answerer = answerers.choose(plan, options.endpoint)
    site = find_site(options.site or lock.site, beside=plan.workflow.folder, settings=options.settings)
    own = Earlier(folder, keep_failures=not failed)
    reuse = results_for(plan, options, folder, own, redone)
    changed = changed_files(plan, folder)
    if changed and not accept:
        raise refusal(plan, changed, foresee(plan, options, answerer, reuse), folder, own)

    def on_owned() -> None:
        own.refresh()  # nobody else adds to it from now on
        if changed:
            accept_changes(plan, folder, lock)

    budget = Budget(plan.workflow.limits, calls=state.calls, tokens=state.usage.total_tokens)
    return drive(plan, options, folder, answerer, site, reuse=reuse, budget=budget, on_owned=on_owned, resumed=True)


def _plan_of(lock: RunLock) -> Plan:
    path = Path(lock.workflow)
    if not path.is_file():
        raise RecordError(
            "the workflow file of this run is gone",
            where=lock.workflow,
            hint="put it back; the record holds a copy, workflow.yaml, and its modules under sources/",
        )
    return load_plan(path, lock.parameters, limit=lock.options.get("limit"))
