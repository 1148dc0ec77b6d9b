"""Goes on with a run that did not end, or runs what failed in it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from metis_flow.engine import answerer as answerers
from metis_flow.engine.budget import Budget
from metis_flow.engine.options import RunOptions
from metis_flow.engine.run import drive
from metis_flow.errors import RecordError
from metis_flow.plan.plan import Plan, load_plan
from metis_flow.record.folder import RunFolder
from metis_flow.record.lockfile import RunLock, read_lock
from metis_flow.record.state import RunState, read_instances
from metis_flow.sites.config import find_site


def resume_run(folder: RunFolder, options: RunOptions, *, failed: bool = False, accept: bool = False) -> RunState:
    """Go on with a run; one that has ended is left as it is.

    Args:
        options: what differs from the run's own; ``endpoint`` and ``site`` None for those of its lock.
        failed: run failed instances again, and what depends on them.
        accept: go on although the workflow file has changed since.

    Raises:
        RecordError: another process drives the run, its record is damaged, or its workflow is gone or has changed.
    """
    state = RunState.read(folder)
    if state.status == "done" or (state.status == "failed" and not failed):
        return state
    lock = read_lock(folder)
    plan = _plan_of(lock)
    if not accept:
        _refuse_changes(plan, folder)
    options = replace(
        options, endpoint=options.endpoint or lock.endpoint, site=options.site or lock.site, runs_dir=folder.path.parent
    )
    answerer = answerers.choose(plan, options.endpoint)
    site = find_site(options.site or lock.site, beside=plan.workflow.folder)
    budget = Budget(plan.workflow.limits, calls=state.calls, tokens=state.usage.total_tokens)
    earlier = Earlier(folder, keep_failures=not failed)
    return drive(plan, options, folder, answerer, site, reuse=earlier.find, budget=budget, resumed=True)


class Earlier:
    """What an earlier part of this run has made.

    Args:
        keep_failures: whether a failed instance stays failed.
    """

    def __init__(self, folder: RunFolder, *, keep_failures: bool) -> None:
        kinds = ("done", "failed") if keep_failures else ("done",)
        self._entries = {
            (str(entry["step"]), entry["key"]): entry
            for entry in read_instances(folder)
            if entry["e"] in kinds and "ck" in entry
        }

    def find(self, step: str, key: str | None, content: str) -> Mapping[str, Any] | None:
        """How an instance ended earlier, if it depends on the same things now."""
        entry = self._entries.pop((step, key), None)
        return entry if entry is not None and entry["ck"] == content else None


def _plan_of(lock: RunLock) -> Plan:
    path = Path(lock.workflow)
    if not path.is_file():
        raise RecordError(
            "the workflow file of this run is gone",
            where=lock.workflow,
            hint="put it back; the record holds a copy, workflow.yaml, and its modules under sources/",
        )
    return load_plan(path, lock.parameters, limit=lock.options.get("limit"))


def _refuse_changes(plan: Plan, folder: RunFolder) -> None:
    recorded = folder.workflow_file.read_text(encoding="utf-8")
    if plan.workflow.document.text != recorded:
        raise RecordError(
            "the workflow file has changed since this run was started",
            where=str(plan.workflow.path),
            hint="compare it with workflow.yaml in the record; go on with --accept: what a change affects runs again",
        )
