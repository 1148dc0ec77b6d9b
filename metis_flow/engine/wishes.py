"""What other shells want of a run that goes on: ``metis-flow cancel``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from metis_flow.engine.stop import Stop
from metis_flow.errors import EXIT_INTERRUPTED, Cancelled, RecordError
from metis_flow.record.folder import RunFolder
from metis_flow.record.requests import Request, pending_requests

CANCEL, CANCEL_AT_ONCE = "cancel", "cancel-at-once"


@dataclass(frozen=True)
class Wish:
    """One wish.

    Attributes:
        kind: `CANCEL` or `CANCEL_AT_ONCE`.
        target: ``step`` or ``step@key``; None for the whole run.
        who: the process that asked.
        granted: to be called once it is done.
    """

    kind: str
    target: str | None
    who: str
    granted: Callable[[], None]


class Obeys(Protocol):
    """Who can fulfil wishes."""

    def give_up(self, stop: Stop) -> None:
        """End the run; calls in flight are kept."""

    def drain(self, stop: Stop) -> None:
        """Start nothing more."""

    def abandon(self) -> None:
        """End at once."""

    def cancel(self, name: str, word: str | None, error: Cancelled) -> None:
        """End a step, or one instance of it."""


def wishes_of(folder: RunFolder) -> list[Wish]:
    """What is wanted of a run, oldest first. A wish that cannot be read is left where it is."""
    try:
        return [_wish(request) for request in pending_requests(folder)]
    except (RecordError, OSError):
        return []


def _wish(request: Request) -> Wish:
    return Wish(request.kind, request.target, f"process {request.pid} on {request.host}", request.settle)


def fulfil(wish: Wish, run: Obeys) -> None:
    """Do what is wanted."""
    if wish.target is not None:
        step, _, key = wish.target.partition("@")
        hint = "'metis-flow resume RUN --failed' runs it again"
        run.cancel(step, key or None, Cancelled(f"cancelled by {wish.who}", hint=hint))
    elif wish.kind in (CANCEL, CANCEL_AT_ONCE):
        stop = Stop("stopped", EXIT_INTERRUPTED, f"cancelled by {wish.who}")
        if wish.kind == CANCEL:
            run.give_up(stop)
        else:
            run.drain(stop)
            run.abandon()
    wish.granted()
