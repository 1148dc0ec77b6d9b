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
        withdraws: calls that were submitted and have not been sent are taken back. Not where the limit of calls was
            reached: those are within it.
    """

    status: str
    exit_code: int
    reason: str
    hint: str | None = None
    withdraws: bool = True
