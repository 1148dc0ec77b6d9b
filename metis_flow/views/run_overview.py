"""A run with what it was started with and what came out."""

from __future__ import annotations

from typing import Any, TextIO

from metis_flow.record.folder import RunFolder
from metis_flow.record.lockfile import RunLock
from metis_flow.record.state import RunState
from metis_flow.views.outputs import print_outputs
from metis_flow.views.run_state import print_facts, state_as_json
from metis_flow.views.safe_text import one_line
from metis_flow.views.values import near, short


def overview_as_json(state: RunState, lock: RunLock) -> dict[str, Any]:
    """The document of ``show RUN --json``: that of ``status``, and what the run was started with."""
    return state_as_json(state) | {"lock": lock.to_json()}


def print_overview(state: RunState, lock: RunLock, folder: RunFolder, out: TextIO) -> None:
    """The run at a glance, its steps, what it was started with, its outputs."""
    out.write(f"workflow: {one_line(lock.workflow)}\n")
    if lock.endpoint is not None:
        models = ", ".join(sorted({str(model.get("name")) for model in lock.models.values()}))
        out.write(f"endpoint: {one_line(lock.endpoint)}, {one_line(models)}\n")
    out.write(f"site:     {one_line(lock.site)}\n")
    print_facts(state, out)
    if lock.parameters:
        out.write("\nparameters:\n")
        out.writelines(f"  {name} = {short(value, 200)}\n" for name, value in lock.parameters.items())
    if state.outputs is not None:
        out.write("\noutputs:\n")
        print_outputs(state.outputs, out, whole=near(folder.outputs / "outputs.json"), indent=2)
    for name, reason in state.missing.items():
        out.write(f"the output '{one_line(name)}' is missing: {one_line(reason)}\n")
