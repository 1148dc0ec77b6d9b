"""What an instance was made from and what was made from it, by the copy of the workflow that its run keeps."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metis_flow.errors import MetisFlowError
from metis_flow.plan.graph import Edge, edges_of
from metis_flow.record.folder import RunFolder
from metis_flow.record.state import read_instances
from metis_flow.workflow.definition import WorkflowDef
from metis_flow.workflow.load import load_workflow


def recorded_workflow(folder: RunFolder) -> WorkflowDef | None:
    """The workflow as the run has recorded it; None where the copy cannot be read alone.

    What it includes lies under ``sources/`` in the record, and beside the workflow where that is read: so both are
    put together for a moment.
    """
    with tempfile.TemporaryDirectory(prefix="metis-flow-") as place:
        try:
            if folder.sources.is_dir():
                shutil.copytree(folder.sources, place, dirs_exist_ok=True, symlinks=True)
            shutil.copyfile(folder.workflow_file, Path(place) / folder.workflow_file.name, follow_symlinks=False)
            return load_workflow(Path(place) / folder.workflow_file.name)
        except (MetisFlowError, OSError):
            return None


def neighbours(
    folder: RunFolder, workflow: WorkflowDef | None, step: str, key: str | None
) -> dict[str, list[dict[str, Any]]]:
    """The instances and steps beside an instance.

    Args:
        workflow: of `recorded_workflow`.

    Returns:
        ``from`` and ``to``: lists of ``step``, ``kind`` of the edge and, where the edge leads to one instance that has
        ended, its ``address`` and ``status``. Empty where the recorded workflow cannot be read.
    """
    edges = (
        [] if workflow is None else [e for found in workflow.steps.values() for e in edges_of(found, workflow.steps)]
    )
    return {
        "from": [_beside(folder, edge, edge.source, key) for edge in edges if edge.target == step],
        "to": [_beside(folder, edge, edge.target, key) for edge in edges if edge.source == step],
    }


def _beside(folder: RunFolder, edge: Edge, other: str, key: str | None) -> dict[str, Any]:
    """The step at the other end of an edge, and of an edge from item to item the instance with the same key."""
    found: dict[str, Any] = {"step": other, "kind": edge.kind}
    if edge.kind == "item" and key is not None:
        entry = next((entry for entry in read_instances(folder, other, key) if entry.get("key") == key), None)
        if entry is not None:
            found |= {"address": entry["address"], "status": entry["e"]}
    return found


def edge_words(edges: list[dict[str, Any]]) -> Iterator[str]:
    """What is beside an instance, in a few words each."""
    for edge in edges:
        if "address" in edge:
            yield f"{edge['address']} ({edge['status']})"
        else:
            yield f"{edge['step']}, item by item" if edge["kind"] == "item" else str(edge["step"])
