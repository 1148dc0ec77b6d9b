"""How a step as a whole ends."""

from __future__ import annotations

from metis_flow.engine import entries
from metis_flow.engine.steprun import StepRun, StepStatus
from metis_flow.errors import MetisFlowError


def end(step: StepRun, status: StepStatus, reason: str | None, journal: entries.Journal) -> None:
    """A step has ended, for this reason."""
    counts = step.progress
    step.status = counts.status = status
    counts.reason = reason
    if counts.total is None:
        counts.total = counts.done + counts.failed + counts.skipped
    if status == "failed" and step.error is None:
        step.error = {"kind": "step_failed", "summary": reason}
    journal.append(entries.closed(step))


def skip_whole(step: StepRun, reason: str, journal: entries.Journal) -> None:
    """A step is not run at all."""
    step.progress.skipped = 1
    journal.append(entries.whole_step_skipped(step, reason))
    end(step, "skipped", reason, journal)


def fail_whole(step: StepRun, error: MetisFlowError, journal: entries.Journal) -> None:
    """A step fails before it has any instance."""
    error.where = error.where or step.name
    step.error = error.as_dict()
    step.progress.failed = 1
    journal.append(entries.whole_step_failed(step))
    end(step, "failed", error.summary, journal)
