"""Follows a run that another process drives, perhaps on another machine, by reading its record."""

from __future__ import annotations

import time
from collections.abc import Callable

from metis_flow.record.folder import RunFolder
from metis_flow.record.state import RunState
from metis_flow.views.progress import ProgressView
from metis_flow.views.snapshot import GOING_ON, snapshot_of_state

LOOK_SECONDS = 1.0
SHARE = 0.1
"""Of the time at most so much goes into reading: the record of a large run takes a while."""


def watch_run(folder: RunFolder, view: ProgressView, *, sleep: Callable[[float], None] = time.sleep) -> RunState:
    """Show a run in a view until it ends, or its driver is gone; how it then is.

    Raises:
        RecordError: the record is damaged.
    """
    state = RunState.read(folder)
    if state.status not in GOING_ON:
        return state
    view.follow(lambda: snapshot_of_state(state))
    try:
        pause = LOOK_SECONDS
        while state.status in GOING_ON:
            sleep(pause)
            began = time.monotonic()
            state = RunState.read(folder)
            pause = max(LOOK_SECONDS, (time.monotonic() - began) / SHARE)
    finally:
        view.stop()
    return state
