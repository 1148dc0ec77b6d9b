"""Why an instance ran: what has changed since an earlier run of the same workflow made it, or that none did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metis_flow.engine.changes import Changes
from metis_flow.record.folder import RunFolder
from metis_flow.record.latest import latest_of
from metis_flow.views.safe_text import one_line
from metis_flow.workflow.definition import WorkflowDef


def why_it_ran(folder: RunFolder, workflow: WorkflowDef | None, entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an instance's result goes back to.

    Args:
        workflow: as the run has recorded it; None where that cannot be read.
        entry: of `read_instances`.

    Returns:
        ``reason``: ``cached``, ``changed``, ``unchanged`` (and run all the same) or ``new``; ``run``: the earlier run
        that made it last, but for ``new``; of ``changed`` also ``what``, such as ``prompt, line 31``. None for what was
        skipped, and where it cannot be told.
    """
    if entry.get("cached"):
        return {"reason": "cached", "run": entry["cached"].get("run")}
    parts = entry.get("parts")
    if parts is None or workflow is None:
        return None
    before = latest_of(folder.path.parent, workflow.name, before=folder).find(entry["step"], entry.get("key"))
    if before is None:
        return {"reason": "new"}
    if dict(before.parts) == dict(parts):
        return {"reason": "unchanged", "run": before.run}
    what = Changes(workflow).since(entry["step"], parts, before.parts, before.folder)
    return {"reason": "changed", "what": what, "run": before.run}


def why_words(why: Mapping[str, Any]) -> str:
    """The same as a sentence."""
    run = one_line(why.get("run"))
    if why["reason"] == "cached":
        return f"cached from {run}"
    if why["reason"] == "new":
        return "new: no earlier run of this workflow has made it"
    if why["reason"] == "unchanged":
        return f"nothing it was made from changed since {run}, and that result was not used again"
    return f"{one_line(why['what'])} changed since {run}"
