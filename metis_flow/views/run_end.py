"""What is said of a run when it has ended."""

from __future__ import annotations

from typing import TextIO

from metis_flow.record.folder import RunFolder
from metis_flow.record.state import RunState, read_instances
from metis_flow.units import format_duration
from metis_flow.views.instances import error_lines
from metis_flow.views.run_state import calls, print_steps
from metis_flow.views.safe_text import one_line
from metis_flow.views.values import near


def print_end(state: RunState, folder: RunFolder, out: TextIO, *, name: str) -> None:
    """How it ended, why, where its record is, and what to do next.

    Args:
        name: what commands call the run.
    """
    out.write(f"{state.id}: {state.status} after {format_duration(state.seconds)}; calls: {calls(state)}\n")
    if state.reason is not None:
        out.write(f"  because: {one_line(state.reason)}\n")
    print_steps(state, out, indent=2)
    for step, counts in state.steps.items():
        if counts.status == "failed":
            _print_example(folder, step, out)
    for output, reason in state.missing.items():
        out.write(f"the output '{one_line(output)}' is missing: {one_line(reason)}\n")
    out.write(f"record: {near(folder.path)}\n")
    for step in next_steps(state, name):
        out.write(f"next: {step}\n")


def next_steps(state: RunState, name: str) -> list[str]:
    """What one would do now: mostly commands to type."""
    failed = any(counts.failed for counts in state.steps.values())
    steps = [f"metis-flow errors {name}"] if failed else []
    if state.status in ("stopped", "paused", "died"):
        remedy = state.hint
        # Who pressed Ctrl-C is told how to resume, and nothing else.
        steps += [one_line(remedy)] if remedy is not None and "metis-flow resume" not in remedy else []
        steps.append(f"metis-flow resume {name}")
    elif state.status in ("running", "submitted"):
        steps.append(f"metis-flow status {name} --watch")
    elif failed or state.status == "failed":
        steps.append(f"metis-flow resume {name} --failed")
    else:
        steps.append(f"metis-flow show {name}")
    return steps


def _print_example(folder: RunFolder, step: str, out: TextIO) -> None:
    """The failure of the step's first item that failed."""
    failures = (entry for entry in read_instances(folder, step) if entry["e"] == "failed")
    first = min(failures, key=lambda entry: int(entry["index"]), default=None)
    if first is not None:
        out.write(f"{one_line(first['address'])}:\n")
        out.writelines(f"  {line}\n" for line in error_lines(first["error"]))
