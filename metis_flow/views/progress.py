"""A run's progress while it goes on: a picture on a terminal, lines anywhere else."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol, TextIO

from metis_flow.views.snapshot import Snapshot, snapshot_of_progress

if TYPE_CHECKING:
    from metis_flow.engine.progress import Progress

Look = Callable[[], Snapshot]
"""Gives the run as it is at this moment."""


class Shows(Protocol):
    """Shows a run as it changes, from a thread of its own."""

    def start(self, look: Look) -> None:
        """Begin; returns at once."""

    def stop(self) -> None:
        """Show how it is in the end, and no more. Harmless where nothing was started."""


class ProgressView:
    """Shows a run of this process, or one that another drives."""

    def __init__(self, shows: Shows) -> None:
        self.shows = shows

    def start(self, progress: Progress) -> None:
        """Begin to show the counts of this process; returns at once."""
        self.follow(partial(snapshot_of_progress, progress))

    def follow(self, look: Look) -> None:
        """Begin to show what ``look`` gives; returns at once."""
        self.shows.start(look)

    def stop(self) -> None:
        """Show how it is in the end, and no more. Harmless where nothing was started."""
        self.shows.stop()


def progress_view(out: TextIO, environment: Mapping[str, str]) -> ProgressView:
    """The view that suits a stream: a picture on a terminal, lines in CI, in a file, and in the background."""
    if wants_picture(out, environment):
        from metis_flow.views.progress_live import LiveProgress

        return ProgressView(LiveProgress(out))
    from metis_flow.views.progress_lines import ProgressLines

    return ProgressView(ProgressLines(out))


def wants_picture(out: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a stream is a terminal on which lines may be drawn again. (NO_COLOR takes only the colours away.)"""
    if environment.get("CI") or environment.get("TERM") == "dumb":
        return False
    return out.isatty() and _is_in_front(out)


def _is_in_front(out: TextIO) -> bool:
    """Whether the terminal is ours: of a command that was started with ``&`` it shows somebody else's lines too."""
    try:
        return os.tcgetpgrp(out.fileno()) == os.getpgrp()
    except OSError:  # it is not the terminal of this session, or no real one
        return True
