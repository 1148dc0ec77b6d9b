"""Writes down how a run ended, and what it hands back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from metis_flow.engine.scheduler import Scheduler
from metis_flow.engine.scope import plain
from metis_flow.errors import EXIT_DONE, EXIT_FAILED, MetisFlowError
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter
from metis_flow.workflow.trees import templates

RETRY_SECONDS = 1.0


def write_end(
    scheduler: Scheduler, folder: RunFolder, journal: JournalWriter, say: Callable[[OSError | None], None]
) -> None:
    """The run's outputs, where its steps are through, and its end."""
    stop = scheduler.stop
    through = all(step.is_closed for step in scheduler.steps.values())
    if stop is not None and not through:
        end = {"status": stop.status, "exit": stop.exit_code, "reason": stop.reason, "hint": stop.hint}
    else:
        _write_outputs(scheduler, folder, journal, say)
        failed = sorted(name for name, step in scheduler.steps.items() if step.status == "failed")
        reason = f"failed: {', '.join(failed)}" if failed else None
        end = {
            "status": "failed" if failed else "done",
            "exit": EXIT_FAILED if failed else EXIT_DONE,
            "reason": reason,
        }
    journal.append({"e": "end", **{name: value for name, value in end.items() if value is not None}})


def _write_outputs(
    scheduler: Scheduler, folder: RunFolder, journal: JournalWriter, say: Callable[[OSError | None], None]
) -> None:
    """The workflow's outputs; one that cannot be had is null, with the reason."""
    outputs_of = scheduler.plan.workflow.outputs.values()
    read = {ref.step for value in outputs_of for template in templates(value) for ref in template.refs}
    views = {name: step.view() for name, step in scheduler.steps.items() if name in read}
    scope = {"params": scheduler.plan.params, "run": {"id": folder.id}, "steps": views}
    outputs: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, value in scheduler.plan.workflow.outputs.items():
        outputs[name], reason = _output(value, scope, scheduler)
        if reason is not None:
            missing[name] = reason
    journal.append({"e": "outputs", "outputs": outputs, "missing": missing})
    journal.flush()  # whoever was overtaken ends here, and leaves the file alone
    _write_when_there_is_room(folder, outputs, say)


def _write_when_there_is_room(
    folder: RunFolder, outputs: Mapping[str, Any], on_trouble: Callable[[OSError | None], None]
) -> None:
    """Write the file of the outputs; a full disk is waited out, as the journal does."""
    trouble = False
    while True:
        try:
            folder.write_json("outputs/outputs.json", outputs)
        except OSError as error:
            if not trouble:
                on_trouble(error)
            trouble = True
            time.sleep(RETRY_SECONDS)
        else:
            if trouble:
                on_trouble(None)
            return


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
