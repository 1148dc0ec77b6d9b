"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at, in a word or two.
        level: `fail` where a run cannot succeed, `warn` where it may not.
        what: how it is.
        mend: what to do about it, on one line; None where nothing has to be done.
    """

    check: str
    level: Level
    what: str
    mend: str | None = None


def ok(check: str, what: str) -> Finding:
    return Finding(check, "ok", what)


def warn(check: str, what: str, mend: str) -> Finding:
    return Finding(check, "warn", what, mend)


def fail(check: str, what: str, mend: str) -> Finding:
    return Finding(check, "fail", what, mend)
