"""Runs the user's own command when a run has ended or paused."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from metis_flow.engine.guard import end_group
from metis_flow.errors import MetisFlowError
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter
from metis_flow.record.state import RunState
from metis_flow.units import format_duration
from metis_flow.workflow.definition import Notify, WorkflowDef

LIMIT_SECONDS = 30.0
LONGEST_VALUE = 4000
LONGEST_LINE = 200
_TAIL_BYTES = 4096


def tell_the_user(workflow: WorkflowDef, folder: RunFolder, journal: JournalWriter, generation: int) -> None:
    """Run the workflow's ``notify``, if this part of the run has an end that it asks for; a note says what came of it.

    That it fails is a line on standard error, and nothing else: the run has ended already, and its end is durable.

    Args:
        journal: where this driver has written how the run ended.
        generation: of this driver. Where another has taken over, the end is the other's to tell.
    """
    notify = workflow.notify
    if notify is None:
        return
    try:
        journal.flush()
        state = RunState.read(folder)
        if state.generation != generation or state.ended is None or state.status not in notify.on:
            return
        began = time.time()
        problem, said = _run(notify, workflow.folder, _facts(state, workflow))
        note = {"e": "note", "kind": "notify", "status": state.status, "seconds": round(time.time() - began, 3)}
        # What the command printed may hold a key of the user's; so it is shown, and not kept.
        journal.append(note if problem is None else note | {"problem": problem})
    except (MetisFlowError, OSError):
        return  # the record cannot be read or written: the run itself ends with that
    if problem is not None:
        sys.stderr.write(f"notify: the command {problem}{f': {said}' if said else ''}\n")


def _facts(state: RunState, workflow: WorkflowDef) -> dict[str, str]:
    reason = (state.reason or "").replace("\0", "")[:LONGEST_VALUE]
    return {
        "METIS_FLOW_RUN": state.id,
        "METIS_FLOW_STATUS": state.status,
        "METIS_FLOW_REASON": reason.encode("utf-8", "replace").decode(),
        "METIS_FLOW_RECORD": os.path.abspath(state.path),
        "METIS_FLOW_WORKFLOW": workflow.name,
    }


def _run(notify: Notify, folder: Path, facts: Mapping[str, str]) -> tuple[str | None, str]:
    """What went wrong with the command, None where nothing did, and the last line that it printed."""
    with tempfile.TemporaryFile() as printed:  # a pipe would be held open by what it leaves in the background
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", notify.command],
                cwd=folder,
                env={**os.environ, **facts},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return f"cannot be started ({error})", ""
        problem = _ending(process)
        printed.seek(max(0, printed.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return problem, _last_line(printed.read())


def _ending(process: subprocess.Popen[bytes]) -> str | None:
    problem = None
    try:
        code = process.wait(LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        problem = f"was ended after {format_duration(LIMIT_SECONDS)}"
    except KeyboardInterrupt:
        problem = "was ended by Ctrl-C"
    else:
        return None if code == 0 else f"ended with {f'exit code {code}' if code > 0 else f'signal {-code}'}"
    end_group(process.pid)
    process.wait()
    return problem


def _last_line(data: bytes) -> str:
    """The last line that says something, without what a terminal would obey."""
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    return "".join(char if char.isprintable() else " " for char in lines[-1][:LONGEST_LINE]) if lines else ""
