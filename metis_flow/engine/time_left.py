"""How long the rest of a run will take, from the rates seen so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Source = tuple[str, bool]
"""A step that is waited for, and whether that goes item by item."""


@dataclass(frozen=True)
class Seen:
    """What is known of a step.

    Attributes:
        after: the steps that it waits for.
        remaining: instances that have not ended; None while nobody knows.
        per_second: instances that ended in a second, lately; those from the cache do not count.
        median: seconds that one takes; None where none was made yet.
        running: instances at work.
    """

    after: tuple[Source, ...]
    remaining: int | None
    per_second: float
    median: float | None
    running: int


def time_left(steps: Mapping[str, Seen]) -> tuple[float | None, list[str]]:
    """Seconds until the last step ends, along the longest way through the graph.

    Args:
        steps: by name; each after those that it waits for.

    Returns:
        The seconds, None where nothing can be told; and the steps whose time nobody knows yet, which come on top.
    """
    left: dict[str, float] = {}
    unknown: list[str] = []
    for name, step in steps.items():
        own = _own(step)
        if own is None:
            unknown.append(name)
        before = max((left[source] for source, by_item in step.after if not by_item), default=0.0)
        beside = max((left[source] for source, by_item in step.after if by_item), default=0.0)
        left[name] = max(before + (own or 0.0), beside)
    longest = max(left.values(), default=0.0)
    known = longest > 0 or not unknown
    return (round(longest, 1) if known else None), unknown


def _own(step: Seen) -> float | None:
    if step.remaining == 0:
        return 0.0
    if step.remaining is None:
        return None
    if step.per_second > 0:
        return step.remaining / step.per_second
    if step.median is not None:
        return step.remaining * step.median / max(1, step.running)
    return None
