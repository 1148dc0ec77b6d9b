"""What Ctrl-C and SIGTERM mean to a run."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from metis_flow.engine.scheduler import Scheduler
from metis_flow.engine.stop import Stop
from metis_flow.errors import EXIT_INTERRUPTED, EXIT_STOPPED


@contextlib.contextmanager
def obeying_signals(scheduler: Scheduler, run_id: str, *, wanted: bool) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM drains the run, a second Ctrl-C ends it at once. In the main thread only."""
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        if scheduler.stop is not None:
            scheduler.post(scheduler.abandon)
        else:
            stop = Stop("stopped", EXIT_INTERRUPTED, "interrupted", f"metis-flow resume {run_id}")
            scheduler.post(scheduler.drain, stop)

    def terminate(number: int, frame: Any) -> None:
        scheduler.post(scheduler.drain, Stop("stopped", EXIT_STOPPED, "ended by SIGTERM"))

    before = {signal.SIGINT: signal.signal(signal.SIGINT, interrupt)}
    before[signal.SIGTERM] = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
