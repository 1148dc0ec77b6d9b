"""Why a run ends before its steps are through."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stop:
    """Why a run ends before its steps are through.

    Attributes:
        status: ``stopped`` or ``paused``.
        exit_code: of the command.
        reason: one sentence.
        hint: what to do.
    """

    status: str
    exit_code: int
    reason: str
    hint: str | None = None
