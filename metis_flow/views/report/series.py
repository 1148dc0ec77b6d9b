"""What the charts of a report show: how much was done over time, and how long calls took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metis_flow.views.report.gather import CallPoint, Row

BUCKETS = 60
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
QUANTILES = (0.5, 0.9, 0.99)


@dataclass(frozen=True)
class Buckets:
    """Numbers over time.

    Attributes:
        width: seconds of a bucket; the first begins at 0, the run's start.
        series: a name and a number for each bucket.
    """

    width: float
    series: tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True)
class Latency:
    """How long the calls of one model took.

    Attributes:
        count: calls.
        quantiles: seconds at each of `QUANTILES`.
        longest: seconds.
        edges: seconds between the bins, one more than there are bins.
        bins: calls in each.
    """

    model: str
    count: int
    quantiles: tuple[float, ...]
    longest: float
    edges: tuple[float, ...]
    bins: tuple[int, ...]


def throughput(rows: Iterable[Row], started: float, seconds: float) -> Buckets:
    """Instances that ended in each bucket, by their status."""
    width, count = _buckets(seconds)
    names = ("done", "failed")
    numbers = {name: [0.0] * count for name in names}
    for row in rows:
        if row.ended is not None and row.status in numbers:
            numbers[row.status][_bucket(row.ended - started, width, count)] += 1
    return Buckets(width, tuple((name, tuple(numbers[name])) for name in names))


def tokens_a_minute(calls: Iterable[CallPoint], started: float, seconds: float) -> Buckets:
    """Tokens of the answers that came in each bucket, as so many a minute."""
    width, count = _buckets(seconds)
    sent, written = [0.0] * count, [0.0] * count
    for call in calls:
        bucket = _bucket(call.ended - started, width, count)
        sent[bucket] += call.prompt_tokens * 60 / width
        written[bucket] += call.completion_tokens * 60 / width
    return Buckets(width, (("in", tuple(sent)), ("out", tuple(written))))


def latencies(calls: Iterable[CallPoint]) -> list[Latency]:
    """How long calls took, by model; the model with most calls first."""
    by_model: dict[str, list[float]] = {}
    for call in calls:
        by_model.setdefault(call.model, []).append(call.seconds)
    found = [_latency(model, sorted(seconds)) for model, seconds in by_model.items()]
    return sorted(found, key=lambda latency: (-latency.count, latency.model))


def _latency(model: str, seconds: Sequence[float]) -> Latency:
    quantiles = tuple(seconds[math.ceil(share * len(seconds)) - 1] for share in QUANTILES)
    lowest, highest = max(seconds[0], 0.001), max(seconds[-1], 0.001)
    # Bins of equal ratio: answers take from a fraction of a second to minutes, and the tail is what one looks for.
    ratio = max(highest / lowest, 1.2)
    count = max(6, min(30, round(math.sqrt(len(seconds)) * 2)))
    edges = tuple(lowest * ratio ** (number / count) for number in range(count + 1))
    bins = [0] * count
    for value in seconds:
        place = int(math.log(max(value, lowest) / lowest) / math.log(ratio) * count)
        bins[min(place, count - 1)] += 1
    return Latency(model, len(seconds), quantiles, seconds[-1], edges, tuple(bins))


def _buckets(seconds: float) -> tuple[float, int]:
    """Width and number of buckets for a run of so many seconds: a round width, and not too many."""
    least = max(seconds, 0.1) / BUCKETS
    width = next((float(step) for step in _STEPS if step >= least), math.ceil(least / 86400) * 86400.0)
    return width, int(max(seconds, 0.1) / width) + 1


def _bucket(offset: float, width: float, count: int) -> int:
    return min(max(int(offset / width), 0), count - 1)
