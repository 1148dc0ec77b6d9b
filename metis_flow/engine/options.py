"""What a run is started with, besides its workflow and parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metis_flow.engine.progress import Progress
from metis_flow.inference.models import Wait

RUNS_DIR = Path("runs")


@dataclass(frozen=True)
class RunOptions:
    """Options of one run.

    Attributes:
        endpoint: name or path of an endpoint; None for the workflow's own.
        site: name or path of a site; None for `local`.
        runs_dir: where run folders are made.
        wait: wait for models that are not live: ``coming`` for those that are Starting or Queued, ``any`` for all.
        on_start: called with the run's counts once there are any, before the first step starts.
        handle_signals: whether Ctrl-C and SIGTERM drain the run (only from the main thread).
    """

    endpoint: str | None = None
    site: str | None = None
    runs_dir: Path = RUNS_DIR
    wait: Wait | None = None
    on_start: Callable[[Progress], None] | None = None
    handle_signals: bool = False
