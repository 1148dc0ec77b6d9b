"""Progress as lines, for logs and pipes: one where a step begins or ends, and now and then one between."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from metis_flow.units import format_count
from metis_flow.views import progress_words as words
from metis_flow.views.progress import Look
from metis_flow.views.safe_text import one_line
from metis_flow.views.snapshot import ENDED, Snapshot, StepSnapshot

LOOK_SECONDS = 0.2
BETWEEN_SECONDS = 10.0
LONGEST_BETWEEN = 300.0
MOST_CAUSES = 5


class ProgressLines:
    """Writes what has changed, from a thread of its own.

    Args:
        out: where lines go.
        clock: gives seconds; for lines between.
    """

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._look: Look | None = None
        self._said: dict[str, str] = {}
        self._noted = 0
        self._causes: set[str] = set()
        self._stopping_said = False
        self._began = self._last = clock()

    def start(self, look: Look) -> None:
        """Begin to write."""
        self._look = look
        self._began = self._last = self._clock()
        self._thread = threading.Thread(target=self._watch, args=(look,), name="progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, and no more."""
        if self._thread is not None and self._look is not None:
            self._stop.set()
            self._thread.join()
            self._write(self._look())

    def news(self, snapshot: Snapshot) -> Iterator[str]:
        """What has not been said yet."""
        for step in snapshot.steps:
            yield from self._step_news(step)
        yield from self._new_failures(snapshot)
        yield from self._new_notes(snapshot)
        if not self._stopping_said:
            for line in words.stopping(snapshot):
                self._stopping_said = True
                yield line
        if not snapshot.is_over and self._clock() - self._last >= self._between():
            self._last = self._clock()
            facts = (" ".join(line.split()) for line in words.facts(snapshot))
            yield "; ".join([_open_steps(snapshot), *facts, words.heading(snapshot)])

    def _between(self) -> float:
        """Seconds from one line to the next: a run that takes all night does not fill its log."""
        return min(LONGEST_BETWEEN, max(BETWEEN_SECONDS, (self._clock() - self._began) / 10))

    def _step_news(self, step: StepSnapshot) -> Iterator[str]:
        said, status = self._said.get(step.name, "waiting"), step.status
        if status == said:
            return
        self._said[step.name] = status
        name = one_line(step.name)
        if said == "waiting" and status != "skipped":
            many = step.total is not None and step.total != 1
            yield f"{name}: begins" + (f", {format_count(step.total or 0)} in all" if many else "")
        if status in ENDED:
            counts = ", ".join(part for part in (words.total(step), words.details(step)) if part)
            reason = f" ({one_line(step.reason)})" if step.reason else ""
            yield f"{name}: {status}, {counts}{reason}"

    def _new_failures(self, snapshot: Snapshot) -> Iterator[str]:
        """The first failure of each cause, as soon as it is there; of more of them, the counts tell."""
        for cause, line in words.failures(snapshot).items():
            if len(self._causes) < MOST_CAUSES and cause not in self._causes:
                self._causes.add(cause)
                yield " ".join(line.split())

    def _new_notes(self, snapshot: Snapshot) -> Iterator[str]:
        """Notes not told yet; of a run that another process drives only the last ones are known."""
        new = snapshot.noted - self._noted
        self._noted = snapshot.noted
        if new > 0:
            yield from map(one_line, snapshot.notes[-new:])

    def _watch(self, look: Look) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._write(look())

    def _write(self, snapshot: Snapshot) -> None:
        # A run goes on, whether or not anybody reads about it.
        with contextlib.suppress(BrokenPipeError):
            self._out.write("".join(f"{line}\n" for line in self.news(snapshot)))
            self._out.flush()


def _open_steps(snapshot: Snapshot) -> str:
    parts = []
    for step in snapshot.steps:
        if step.status == "open":
            more = words.details(step)
            parts.append(f"{one_line(step.name)} {words.total(step)}" + (f" ({more})" if more else ""))
    return ", ".join(parts) or "waiting"
