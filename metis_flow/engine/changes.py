"""What has changed since an instance was last run (``prompt, line 31``), and what a changed workflow affects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metis_flow.engine.foresight import Foreseen, Foresight
from metis_flow.engine.locking import recorded_source, sources_of
from metis_flow.errors import MetisFlowError, RecordError
from metis_flow.plan.plan import Plan
from metis_flow.record.earlier import Earlier
from metis_flow.record.folder import RunFolder
from metis_flow.record.latest import Comparable
from metis_flow.workflow.definition import WorkflowDef
from metis_flow.workflow.source import Document, Location, parse_document

LISTED = 3

_PARTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "prompt": ("prompt", ("chat",)),
    "model": ("model", ("chat",)),
    "settings": ("model settings", ("chat",)),
    "schema": ("schema", ("output",)),
    "check": ("check", ("check",)),
    "script": ("script", ("run",)),
    "env": ("env", ("env",)),
    "args": ("args", ("args",)),
    "stdin": ("stdin", ("stdin",)),
    "files": ("file content", ("files",)),
    "output": ("output", ("output",)),
    "function": ("function", ("python", "uses")),
    "source": ("task source", ()),
    "with": ("arguments", ("with",)),
    "named": ("file content", ()),
}
"""What each part of a content key is called, and the keys of a step that it comes from."""


class Changes:
    """Compares a workflow with what earlier runs recorded of theirs."""

    def __init__(self, workflow: WorkflowDef) -> None:
        self._workflow = workflow
        self._documents: dict[Path, Document | None] = {}

    def since(self, step: str, parts: Mapping[str, str], before: Mapping[str, str], folder: RunFolder) -> str:
        """What differs now, such as ``prompt, line 31; model``.

        Args:
            parts, before: of the content key now, and when the run in `folder` made the result.
        """
        names = [name for name in {**before, **parts} if before.get(name) != parts.get(name)]
        return "; ".join(dict.fromkeys(self._word(step, name, folder) for name in names)) or "nothing"

    def why(self, step: str, instance: Foreseen, before: Comparable, *, forced: bool) -> str:
        """Why an instance would run: what has changed since an earlier run made it, or that none did."""
        if forced:
            return "forced"
        result = before.find(step, instance.key)
        if result is None:
            return "new"
        if dict(result.parts) == dict(instance.parts):
            return instance.own_only or "its files, or its record, are gone"
        return self.since(step, instance.parts, result.parts, result.folder)

    def _word(self, step: str, part: str, folder: RunFolder) -> str:
        word, keys = _PARTS.get(part, (part, ()))
        for key in keys:
            line = self._changed_line(("steps", step, key), folder)
            if line is not None:
                return f"{word}, line {line}"
        if part in ("model", "settings"):
            line = self._changed_line(("model",), folder)
            return word if line is None else f"{word}, line {line}"
        if part == "prompt":
            return self._changed_prompt_file(folder) or "prompt, by the values in it"
        return f"{word}, by the values in it" if keys and part != "function" else word

    def _changed_line(self, place: Location, folder: RunFolder) -> int | None:
        """The first line that differs in a part of the file; None where it is as it was."""
        before = self._recorded(folder)
        if before is None:
            return None
        now = self._workflow.document
        old, new = _lines(before, place), _lines(now, place)
        if old == new or new is None:
            return None
        first = next((n for n, line in enumerate(new) if old is None or n >= len(old) or line != old[n]), len(new) - 1)
        return now.span(place).line + first

    def _changed_prompt_file(self, folder: RunFolder) -> str | None:
        for name, text in self._workflow.included.items():
            try:
                old = (folder.sources / name).read_text(encoding="utf-8-sig").splitlines()
            except (OSError, ValueError):
                continue
            new = text.splitlines()
            first = next((n for n, line in enumerate(new) if n >= len(old) or line != old[n]), None)
            if first is not None or len(old) != len(new):
                return f"{name}, line {(first if first is not None else len(new) - 1) + 1}"
        return None

    def _recorded(self, folder: RunFolder) -> Document | None:
        path = folder.workflow_file
        if path not in self._documents:
            try:
                self._documents[path] = parse_document(path.read_text(encoding="utf-8"), str(path))
            except (OSError, ValueError, MetisFlowError):
                self._documents[path] = None
        return self._documents[path]


def _lines(document: Document, place: Location) -> list[str] | None:
    data: Any = document.data
    for part in place:
        if not isinstance(data, dict) or part not in data:
            return None
        data = data[part]
    ends = (span.end for location, span in document.values.items() if location[: len(place)] == place)
    return document.text[document.span(place).start : max(ends)].rstrip().splitlines()


def changed_files(plan: Plan, folder: RunFolder) -> list[str]:
    """The workflow's own files (itself, what it includes, its modules) that are not as the run has recorded them."""
    name = plan.workflow.path.name
    found = [] if _is(folder.workflow_file, plan.workflow.document.text.encode()) else [name]
    return found + [name for name, data in sources_of(plan).items() if not _is(recorded_source(folder, name), data)]


def refusal(plan: Plan, changed: Sequence[str], foresight: Foresight, folder: RunFolder, own: Earlier) -> RecordError:
    """Why a run whose workflow has changed does not go on, and what the change affects.

    Args:
        foresight: what would become of the run.
        folder: the run.
        own: what it has made.
    """
    lines = _affected(Changes(plan.workflow), foresight, folder, own)
    return RecordError(
        f"the workflow has changed since this run was started: {', '.join(changed)}",
        where=str(plan.workflow.path),
        detail="\n".join(lines) or "no instance that has run depends on the change",
        hint="go on with --accept: what is listed, and what depends on it, runs again; the record keeps both workflows",
    )


def _is(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def _affected(changes: Changes, foresight: Foresight, folder: RunFolder, own: Earlier) -> list[str]:
    """A line for each step of which something runs again, with the reasons."""
    lines = []
    for name, step in foresight.steps.items():
        found: dict[str, list[str]] = {}
        for instance in step.instances:
            entry = own.entry(name, instance.key) if instance.action == "run" else None
            if entry is not None and entry["e"] == "done":
                why = changes.since(name, instance.parts, entry.get("parts") or {}, folder)
                found.setdefault(why, []).append(instance.address)
        for why, addresses in found.items():
            shown = ", ".join(addresses[:LISTED]) + (" …" if len(addresses) > LISTED else "")
            lines.append(f"{name}: {len(addresses):,} of {len(step.instances):,} run again ({why}): {shown}")
    return lines
