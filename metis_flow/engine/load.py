"""Whether the driver alone is enough for a run's calls."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from metis_flow.engine.progress import Progress
from metis_flow.engine.worker_chat import why_only_driver
from metis_flow.inference.endpoints import EndpointConfig
from metis_flow.sites.executors import usable_cores

BUSY = 0.9
"""Processor time over time: above that the driver, whose Python runs one thread at a time, can send no more."""
WORTH_SECONDS = 20.0
"""Of the driver's time that the calls left must still take: workers need some seconds to start."""
MOST_PROCESSES = 4
"""More would wait for the driver, which prepares every call and writes every answer down: that takes it as long."""
BYTES_A_PROCESS = 200_000_000
LOOK_SECONDS = 2.0
ENOUGH_CALLS = 100
"""Calls between two looks from which the time of one can be told."""


@dataclass(frozen=True)
class Load:
    """How things stand on this machine.

    Attributes:
        cores: that the driver may use.
        memory: bytes that are free.
        busy: the driver's processor time over time, since the last look.
        seconds_left: of the driver's processor time, for the calls that are left.
    """

    cores: int
    memory: int
    busy: float
    seconds_left: float


def processes_for(endpoint: EndpointConfig, load: Load) -> int:
    """How many processes should send a run's calls; 1 is the driver alone.

    More than one where all of this holds: the endpoint has no rates and can be asked by another process; there are
    cores for two workers beside the driver, and `BYTES_A_PROCESS` of memory for each; the driver's processor was busy
    for `BUSY` of the time; and the calls left would keep it so for `WORTH_SECONDS`. Then there is a process for each
    core but the driver's, up to `MOST_PROCESSES`.
    """
    if endpoint.limits.has_rates or why_only_driver(endpoint) is not None:
        return 1
    if load.busy < BUSY or load.seconds_left < WORTH_SECONDS:
        return 1
    return max(1, min(load.cores - 1, load.memory // BYTES_A_PROCESS, MOST_PROCESSES))


class Watch:
    """Looks every few seconds how busy the driver is."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._cpu = time.process_time()
        self._calls = 0

    def look(self, progress: Progress) -> Load | None:
        """How things stand; None where it is too soon to tell."""
        now = time.monotonic()
        if now - self._at < LOOK_SECONDS:
            return None
        cpu, calls = time.process_time(), progress.calls
        used, made, took = cpu - self._cpu, calls - self._calls, now - self._at
        self._at, self._cpu, self._calls = now, cpu, calls
        if made < ENOUGH_CALLS:
            return None
        left = calls_left(progress) * used / made
        return Load(usable_cores(), psutil.virtual_memory().available, used / took, left)


def calls_left(progress: Progress) -> int:
    """Calls that the run will still make, as far as it is known."""
    chats = [step for step in progress.steps.values() if step.verb == "chat"]
    return sum(max(0, step.total - step.ended) for step in chats if step.total is not None)
