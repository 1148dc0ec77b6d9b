"""One call of a task, from Python: a run of one step, with a record like any other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any

from metis_flow.engine.options import RunOptions
from metis_flow.engine.run import start_run
from metis_flow.errors import MetisFlowError, StepFailed, UsageError
from metis_flow.plan.plan import Plan, make_plan
from metis_flow.record.folder import RunFolder
from metis_flow.record.rows_file import recorded_output
from metis_flow.record.state import read_instances
from metis_flow.tasks import Task
from metis_flow.workflow.bodies import CallDef
from metis_flow.workflow.definition import StepDef, WorkflowDef
from metis_flow.workflow.models import Limits
from metis_flow.workflow.rows import Rows
from metis_flow.workflow.source import parse_document
from metis_flow.workflow.trees import Constant

STEP = "task"


def submit_task(
    task: Task[..., Any],
    arguments: Mapping[str, Any],
    *,
    site: str | None,
    endpoint: str | None,
    model: str | Mapping[str, Any] | None,
) -> Future[Any]:
    """Run one call of a task in the background. See `metis_flow.tasks.submitting.Submitter`.

    Raises:
        UsageError: the arguments are not JSON, or ``model`` is for a task that asks none.
    """
    plan = _plan_of(task, dict(arguments), model)
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(_result(plan, RunOptions(site=site, endpoint=endpoint)))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name=f"task {task.name}", daemon=True).start()
    return future


def _plan_of(task: Task[..., Any], arguments: dict[str, Any], model: str | Mapping[str, Any] | None) -> Plan:
    if model is not None and not task.asks:
        raise UsageError(f"the task '{task.name}' asks no model", hint="leave 'model' out")
    settings = {"name": model} if isinstance(model, str) else dict(model or {})
    try:
        step = {"uses": task.name, "with": arguments, **({"model": settings} if settings else {})}
        text = json.dumps({"version": 1, "name": task.name, "steps": {STEP: step}}, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        hint = "give numbers, texts, lists and objects, or the path of a file that holds the rest"
        raise UsageError(f"the arguments of '{task.name}' are not JSON: {error}", hint=hint) from None
    name = settings.pop("name", None)
    body = CallDef(
        task.name,
        Constant(json.loads(text)["steps"][STEP]["with"]),
        Constant(name) if name is not None else None,
        {setting: Constant(value) for setting, value in settings.items()},
    )
    workflow = WorkflowDef(
        path=Path(task.where.rpartition(":")[0]).parent / f"{task.name}.yaml",
        name=task.name.replace("_", "-"),
        description=None,
        params={},
        endpoint=None,
        limits=Limits(),
        steps={STEP: StepDef(STEP, "uses", body)},
        outputs={},
        document=parse_document(text, f"{task.name}.submit()"),
        included={},
    )
    return make_plan(workflow)


def _result(plan: Plan, options: RunOptions) -> Any:
    state = start_run(plan, options)
    entry = next(read_instances(RunFolder(Path(state.path)), STEP), None)
    if entry is not None and entry["e"] == "done":
        output = recorded_output(entry, Path(state.path))
        return list(output) if isinstance(output, Rows) else output
    error = (entry or {}).get("error")
    if error is None:
        raise MetisFlowError(state.reason or f"the run is {state.status}", where=state.id, hint=state.hint)
    raise StepFailed(error["summary"], where=state.id, hint=error.get("hint"), detail=error.get("detail"))
