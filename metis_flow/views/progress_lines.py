"""Progress as lines, for logs and pipes: one where a step begins or ends, and now and then one between."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from metis_flow.engine.progress import Progress, StepProgress
from metis_flow.units import format_count
from metis_flow.views.progress import ENDED, details, in_flight, stopping, total, totals
from metis_flow.views.safe_text import one_line

LOOK_SECONDS = 0.2
BETWEEN_SECONDS = 10.0


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
        self._progress: Progress | None = None
        self._said: dict[str, str] = {}
        self._noted = 0
        self._stopping_said = False
        self._last = clock()

    def start(self, progress: Progress) -> None:
        """Begin to write."""
        self._progress = progress
        self._last = self._clock()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, and no more."""
        if self._thread is not None and self._progress is not None:
            self._stop.set()
            self._thread.join()
            self._write(self._progress)

    def news(self, progress: Progress) -> Iterator[str]:
        """What has not been said yet."""
        for step in progress.steps.values():
            yield from self._step_news(step)
        yield from (one_line(note) for note in progress.notes[self._noted :])
        self._noted = len(progress.notes)
        if not self._stopping_said:
            for line in stopping(progress):
                self._stopping_said = True
                yield line
        if self._clock() - self._last >= BETWEEN_SECONDS:
            self._last = self._clock()
            yield "; ".join([self._open_steps(progress), totals(progress), *in_flight(progress)])

    def _step_news(self, step: StepProgress) -> Iterator[str]:
        said, status = self._said.get(step.name, "waiting"), step.status
        if status == said:
            return
        self._said[step.name] = status
        if said == "waiting" and status != "skipped":
            many = step.total is not None and step.total != 1
            yield f"{step.name}: begins" + (f", {format_count(step.total or 0)} in all" if many else "")
        if status in ENDED:
            counts = f"{total(step)}, {details(step)}" if details(step) else total(step)
            reason = f" ({one_line(step.reason)})" if step.reason else ""
            yield f"{step.name}: {status}, {counts}{reason}"

    def _open_steps(self, progress: Progress) -> str:
        parts = []
        for step in progress.steps.values():
            if step.status == "open":
                more = details(step)
                parts.append(f"{step.name} {total(step)}" + (f" ({more})" if more else ""))
        return ", ".join(parts) or "waiting"

    def _watch(self) -> None:
        assert self._progress is not None
        while not self._stop.wait(LOOK_SECONDS):
            self._write(self._progress)

    def _write(self, progress: Progress) -> None:
        # A run goes on, whether or not anybody reads about it.
        with contextlib.suppress(BrokenPipeError):
            self._out.write("".join(f"{line}\n" for line in self.news(progress)))
            self._out.flush()
