"""All that a page about a run shows, read from its record."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from metis_flow.errors import MetisFlowError
from metis_flow.plan.graph import Graph, make_graph
from metis_flow.record.folder import RunFolder
from metis_flow.record.lockfile import RunLock, read_lock
from metis_flow.record.state import RunState, StepCounts
from metis_flow.units import format_duration
from metis_flow.views.report.gather import Gathered, Row, gather, ready_times
from metis_flow.views.safe_text import one_line, safe
from metis_flow.workflow.definition import WorkflowDef
from metis_flow.workflow.load import load_workflow
from metis_flow.workflow.source import read_document


@dataclass(frozen=True)
class StepLine:
    """One step in the table of steps.

    Attributes:
        span: from when its first instance began to when its last one ended, as text.
    """

    name: str
    verb: str
    counts: StepCounts
    calls: int
    tokens: int
    span: str


@dataclass(frozen=True)
class Contents:
    """What is known of a run.

    Attributes:
        lock: None where the record has none.
        workflow, graph: None where the recorded file cannot be read any more.
        gathered: of each instance that has ended.
    """

    folder: RunFolder
    state: RunState
    lock: RunLock | None
    workflow: WorkflowDef | None
    graph: Graph | None
    gathered: Gathered

    @classmethod
    def read(cls, folder: RunFolder, *, texts: bool = True) -> Contents:
        """Read a record.

        Args:
            texts: whether the full text of each instance is kept.

        Raises:
            RecordError: the record is damaged.
        """
        # The state first: what the journal says later is then at least as much.
        state = RunState.read(folder)
        lock = read_lock(folder) if folder.lock_file.is_file() else None
        workflow = _workflow(folder, lock)
        graph = make_graph(workflow) if workflow is not None else None
        return cls(folder, state, lock, workflow, graph, gather(folder, texts=texts))

    @cached_property
    def started(self) -> float:
        """Unix seconds."""
        began = [row.began for row in self.gathered.rows if row.began is not None]
        return self.state.started or min(began, default=0.0)

    @cached_property
    def step_names(self) -> list[str]:
        """All steps, in graph order where that is known."""
        known = list(self.graph.order) if self.graph is not None else []
        rest = [name for name in self.state.steps if name not in known]
        return known + rest + [name for name in {row.step: 0 for row in self.gathered.rows} if name not in known + rest]

    @cached_property
    def counts(self) -> Mapping[str, StepCounts]:
        """How far each step is; one that has not begun is ``waiting``, or ``stopped`` where the run has ended."""
        waiting = "waiting" if self.state.status == "running" else "stopped"
        return {name: self.state.steps.get(name) or StepCounts(status=waiting) for name in self.step_names}

    def step_lines(self) -> list[StepLine]:
        """A line for each step."""
        rows: dict[str, list[Row]] = {name: [] for name in self.step_names}
        for row in self.gathered.rows:
            rows[row.step].append(row)
        return [self._line(name, own) for name, own in rows.items()]

    def _line(self, name: str, rows: list[Row]) -> StepLine:
        verb = self.workflow.steps[name].verb if self.workflow is not None and name in self.workflow.steps else ""
        began = min((row.began for row in rows if row.began is not None), default=None)
        ended = max((row.ended for row in rows if row.ended is not None), default=None)
        span = format_duration(ended - began) if began is not None and ended is not None else ""
        calls, tokens = sum(row.calls for row in rows), sum(row.tokens for row in rows)
        return StepLine(one_line(name), verb, self.counts[name], calls, tokens, span)

    def table(self, places: Mapping[int, tuple[int, int]]) -> dict[str, Any]:
        """The instances in columns, for the page's own table: step order, then item order. Times are in milliseconds.

        Args:
            places: chunk and place of full texts, by number.
        """
        ready = ready_times(self.gathered.rows, self.graph, self.started)
        steps = {name: number for number, name in enumerate(self.step_names)}
        order = sorted(
            zip(self.gathered.rows, ready, strict=True), key=lambda pair: (steps[pair[0].step], pair[0].index)
        )
        models: dict[str | None, int] = {None: -1}
        for row, _ in order:
            models.setdefault(row.model, len(models) - 1)
        return {
            "steps": [one_line(name) for name in steps],
            "models": [model for model in models if model is not None],
            "step": [steps[row.step] for row, _ in order],
            "address": [row.address for row, _ in order],
            "key": [None if row.address == f"{row.step}@{row.key}" else row.key for row, _ in order],
            "status": [row.status for row, _ in order],
            "ready": [self._ms(at) for _, at in order],
            "began": [self._ms(row.began) for row, _ in order],
            "ended": [self._ms(row.ended) for row, _ in order],
            "busy": [round(row.busy * 1000) for row, _ in order],
            "attempt": [row.attempt for row, _ in order],
            "calls": [row.calls for row, _ in order],
            "tokens": [row.tokens for row, _ in order],
            "model": [models[row.model] for row, _ in order],
            "result": [row.result for row, _ in order],
            "place": [places.get(row.text) for row, _ in order],
        }

    def _ms(self, seconds: float | None) -> int:
        return -1 if seconds is None else max(0, round((seconds - self.started) * 1000))

    def workflow_text(self) -> str:
        """The recorded workflow file."""
        try:
            return safe(self.folder.workflow_file.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return ""


def _stand_in_for_files(workflow: Path) -> None:
    """Empty files for those that a step links: the record has only their hashes, and loading asks for their names."""
    data = read_document(workflow).data
    steps = data.get("steps") if isinstance(data, dict) else None
    for step in steps.values() if isinstance(steps, dict) else ():
        files = step.get("files") if isinstance(step, dict) else None
        for file in files.values() if isinstance(files, dict) else ():
            name = file.get("from") if isinstance(file, dict) else None
            path = workflow.parent / name if isinstance(name, str) else workflow
            if not path.exists() and path.resolve().is_relative_to(workflow.parent.resolve()):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()


def _workflow(folder: RunFolder, lock: RunLock | None) -> WorkflowDef | None:
    """The workflow as it was recorded; the original, where it is still the same and names files that were not kept."""
    with tempfile.TemporaryDirectory() as place:
        # As the user had them: the files that belong to a workflow lie beside it.
        if folder.sources.is_dir():
            shutil.copytree(folder.sources, place, dirs_exist_ok=True, symlinks=True)
        copy = Path(place) / folder.workflow_file.name
        try:
            copy.write_bytes(folder.workflow_file.read_bytes())
            _stand_in_for_files(copy)
            return load_workflow(copy)
        except (MetisFlowError, OSError):
            pass
    try:
        original = load_workflow(lock.workflow) if lock is not None else None
        same = original is not None and original.document.text == folder.workflow_file.read_text(encoding="utf-8")
        return original if same else None
    except (MetisFlowError, OSError):
        return None
