"""What a run is started with, besides its workflow and parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metis_flow.engine.progress import Progress
from metis_flow.inference.models import Wait
from metis_flow.plan.selection import Selection

RUNS_DIR = Path("runs")


@dataclass(frozen=True)
class RunOptions:
    """Options of one run.

    Attributes:
        endpoint: name or path of an endpoint; None for the workflow's own.
        site: name or path of a site; None for `local`.
        settings: the user's own FIELD=VALUE for that site.
        runs_dir: where run folders are made.
        wait: wait for models that are not live: ``coming`` for those that are Starting or Queued, ``any`` for all.
        on_start: called with the run's counts once there are any, before the first step starts.
        handle_signals: whether Ctrl-C and SIGTERM drain the run (only from the main thread).
        time_limit: seconds after which the process has ended; None for no limit but that of the job it runs in.
        cache: whether results of earlier runs are used.
        forced: steps whose instances run again whatever earlier runs hold.
        selection: the part of the workflow to run; None for all of it.
    """

    endpoint: str | None = None
    site: str | None = None
    settings: tuple[str, ...] = ()
    runs_dir: Path = RUNS_DIR
    wait: Wait | None = None
    on_start: Callable[[Progress], None] | None = None
    handle_signals: bool = False
    time_limit: float | None = None
    cache: bool = True
    forced: frozenset[str] = frozenset()
    selection: Selection | None = None
