"""When the run must have ended: a walltime, or ``--time-limit``; and what can still be started before it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from metis_flow.engine.stop import Stop
from metis_flow.errors import EXIT_STOPPED
from metis_flow.sites.walltime import Walltime
from metis_flow.units import format_duration

LIMIT_MARGIN = (1.0, 30.0)
"""Least and most seconds kept for the record before the end of a time limit; between them, a twentieth of it."""
WALLTIME_MARGIN = (10.0, 60.0)
"""The same before the end of a job, which takes everything with it."""


@dataclass(frozen=True)
class Deadline:
    """The end of the time that a run has.

    Attributes:
        ends: unix seconds by which the process must have ended.
        margin: seconds before it in which nothing runs any more, so that the record is written whole.
        reason: what ends, for messages.
    """

    ends: float
    margin: float
    reason: str
    clock: Callable[[], float] = time.time

    def left(self) -> float:
        """Seconds in which steps may still run."""
        return self.ends - self.margin - self.clock()

    def allows(self, seconds: float | None) -> bool:
        """Whether something that takes so long, None where nobody knows, can still end in time."""
        return self.left() > (seconds or 0.0)

    def stop(self) -> Stop:
        """The stop that it means."""
        return Stop("stopped", EXIT_STOPPED, f"{self.reason} ends", withdraws=True)


def deadline_of(
    time_limit: float | None, walltime: Walltime | None, clock: Callable[[], float] = time.time
) -> Deadline | None:
    """The earlier of a time limit (seconds from now) and the end of the job that this process runs in, if any."""
    now = clock()
    found: list[Deadline] = []
    if time_limit is not None:
        words = f"the time limit of {format_duration(time_limit)}"
        found.append(Deadline(now + time_limit, _margin(time_limit, *LIMIT_MARGIN), words, clock))
    if walltime is not None and walltime.remaining is not None:
        left = walltime.remaining
        words = f"the walltime of the {walltime.scheduler} job {walltime.job}"
        found.append(Deadline(now + left, _margin(left, *WALLTIME_MARGIN), words, clock))
    return min(found, key=lambda deadline: deadline.ends - deadline.margin, default=None)


def _margin(seconds: float, least: float, most: float) -> float:
    return min(most, max(least, seconds / 20))
