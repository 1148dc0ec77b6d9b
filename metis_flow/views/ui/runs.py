"""What the application shows, kept as long as the journals stay as they are."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metis_flow.errors import RecordError
from metis_flow.record.folder import RunFolder, list_runs
from metis_flow.record.ownership import holder_of
from metis_flow.record.state import RunState, read_instances
from metis_flow.units import format_count, format_duration
from metis_flow.views.report.contents import Contents
from metis_flow.views.report.gather import detail_of
from metis_flow.views.report.page import live_html, live_news
from metis_flow.views.safe_text import one_line
from metis_flow.views.values import when

MOST_OFTEN = 1.0
"""Seconds between two questions of a page, at least; more where an answer takes long to make."""
SHARE = 5


@dataclass
class _Known:
    """One run, as it was last read."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    version: str = ""
    contents: Contents | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class RunLine:
    """One run in the list."""

    id: str
    name: str
    status: str
    started: str
    took: str
    calls: str
    tokens: str
    steps: str


class Runs:
    """The runs of a folder. Any thread may ask.

    Args:
        folder: where the records are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, _Known] = {}
        self._lines: dict[str, tuple[str, RunLine]] = {}

    def find(self, run_id: str) -> RunFolder | None:
        """The run of a whole id; None where there is none."""
        return next((run for run in list_runs(self.folder) if run.id == run_id), None)

    def lines(self) -> list[RunLine]:
        """All runs, the newest first."""
        return [self._line(run) for run in list_runs(self.folder)]

    def page(self, run: RunFolder) -> str:
        """The page of a run.

        Raises:
            RecordError: the record is damaged.
        """
        version, contents, _ = self._read(run)
        return live_html(contents, version=version)

    def news(self, run: RunFolder, seen: str) -> dict[str, Any] | None:
        """What a page needs that shows version `seen`; None where nothing is new.

        Raises:
            RecordError: the record is damaged.
        """
        if seen == _version(run):
            return None
        version, contents, seconds = self._read(run)
        return live_news(contents, version=version) | {"pause": round(1000 * max(MOST_OFTEN, SHARE * seconds))}

    def instance(self, run: RunFolder, address: str) -> dict[str, Any] | None:
        """Everything about one instance; None where none of this address has ended.

        Raises:
            RecordError: the record is damaged.
        """
        step = address.partition("@")[0]
        found = (entry for entry in read_instances(run, step, address) if entry["address"] == address)
        entry = next(found, None)
        return None if entry is None else detail_of(run, entry)

    def _read(self, run: RunFolder) -> tuple[str, Contents, float]:
        known = self._known.setdefault(run.id, _Known())
        with known.lock:
            version = _version(run)
            if known.contents is None or known.version != version:
                began = time.monotonic()
                known.contents = Contents.read(run, texts=False)
                known.version, known.seconds = version, time.monotonic() - began
            return known.version, known.contents, known.seconds

    def _line(self, run: RunFolder) -> RunLine:
        version = _version(run)
        known = self._lines.get(run.id)
        if known is None or known[0] != version:
            known = self._lines[run.id] = version, _line_of(run)
        return known[1]


def _version(run: RunFolder) -> str:
    """Changes whenever the journal does, and when the driver goes away."""
    try:
        parts = [(path.name, path.stat().st_size) for path in run.journal.iterdir() if path.suffix == ".jsonl"]
        holder = holder_of(run)
    except (OSError, RecordError):
        return "unreadable"
    name, size = max(parts, default=("", 0))
    alive = holder is not None and not holder.gone(time.time())
    return f"{name}-{size}-{'on' if alive else 'off'}"


def _line_of(run: RunFolder) -> RunLine:
    try:
        state = RunState.read(run)
    except RecordError as error:  # one damaged record does not hide the others
        return RunLine(run.id, one_line(run.name), "unreadable", "", "", "", "", one_line(error))
    failed = sum(counts.failed for counts in state.steps.values())
    ended = sum(counts.done + counts.failed for counts in state.steps.values())
    return RunLine(
        id=run.id,
        name=one_line(run.name),
        status=state.status,
        started=when(state.started),
        took=format_duration(state.seconds),
        calls=format_count(state.calls),
        tokens=format_count(state.usage.total_tokens),
        steps=f"{format_count(ended)} instance{'' if ended == 1 else 's'}"
        + (f", {format_count(failed)} failed" if failed else ""),
    )
