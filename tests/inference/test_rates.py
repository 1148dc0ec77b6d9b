"""Requests a second and tokens a minute, in simulated time, against the gateway's own counting."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from metis_flow.inference.clock import sleep
from metis_flow.inference.estimates import FIRST_COMPLETION, FIRST_RATIO, TokenEstimator, count_characters
from metis_flow.inference.limiter import Limiter
from metis_flow.inference.rates import WINDOW
from metis_flow.testing.gateway.rates import SlidingSecond, TokenWindows


class EventClock:
    """Time that goes on when nothing else can happen."""

    def __init__(self) -> None:
        self.time = 0.0
        self._events: list[tuple[float, int, list[Callable[[], None] | None]]] = []
        self._count = 0

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        self._count += 1
        cell: list[Callable[[], None] | None] = [callback]
        heapq.heappush(self._events, (when, self._count, cell))

        class Timer:
            def cancel(self) -> None:
                cell[0] = None

        return Timer()

    async def run(self, task: asyncio.Future[Any]) -> None:
        """Until the task is done."""
        while not task.done():
            for _ in range(6):
                await asyncio.sleep(0)
            while self._events and self._events[0][2][0] is None:
                heapq.heappop(self._events)
            if self._events and not task.done():
                when, _, cell = heapq.heappop(self._events)
                self.time = max(self.time, when)
                if cell[0] is not None:
                    cell[0]()
        task.result()


@dataclass
class Traffic:
    """What a simulated gateway saw."""

    sent: int = 0
    refused: int = 0
    windows: dict[float, int] = field(default_factory=dict)
    arrivals: list[float] = field(default_factory=list)
    end: float = 0.0


Size = Callable[[random.Random], tuple[int, int, float]]  # prompt tokens, completion tokens, seconds


def simulate(
    calls: int, size: Size, *, tokens: int | None, per_second: int | None = None, places: int = 64, jitter: float = 0.03
) -> Traffic:
    """Put calls through a limiter to a gateway that looks before a call and charges after it."""
    clock = EventClock()
    chance = random.Random(7)
    traffic = Traffic()
    windows = TokenWindows(clock)  # type: ignore[arg-type]
    second = SlidingSecond(clock)  # type: ignore[arg-type]
    limiter = Limiter(places, requests_per_second=per_second, tokens_per_minute=tokens, clock=clock)
    estimator = TokenEstimator()

    async def call() -> None:
        prompt, completion, seconds = size(chance)
        characters = prompt * 4
        again = False
        while True:
            place = await limiter.enter("m", partial(estimator.estimate, characters, 3000), again=again)
            await sleep(clock, chance.uniform(0.005, jitter))
            traffic.sent += 1
            traffic.arrivals.append(clock.now())
            if not second.allows("u", per_second):
                traffic.refused += 1
                limiter.pace.refused(clock.now())
                limiter.halve(place)
            elif tokens is not None and windows.used("m") >= tokens:
                traffic.refused += 1
                limiter.halve(place)
                place.gate.exhausted(clock.now(), place.since)
            else:
                await sleep(clock, seconds)
                windows.charge(prompt + completion, "m")
                end, used = windows._windows[("m",)]
                traffic.windows[end] = used
                await sleep(clock, chance.uniform(0.005, jitter))
                place.answered(prompt + completion)
                estimator.learn(characters, prompt, completion)
                place.leave()
                return
            place.leave()
            again = True

    async def main() -> None:
        await clock.run(asyncio.gather(*(call() for _ in range(calls))))

    asyncio.run(main())
    traffic.end = clock.now()
    return traffic


def even(chance: random.Random) -> tuple[int, int, float]:
    return 150, 250, 2.0


def uneven(chance: random.Random) -> tuple[int, int, float]:
    completion = min(3000, int(chance.lognormvariate(5.3, 1.2)) + 1)
    return chance.randint(50, 600), completion, 0.5 + completion / 80


@pytest.mark.parametrize("size", [even, uneven])
@pytest.mark.parametrize("limit", [60_000, 20_000])
def test_every_window_is_used_and_hardly_a_call_is_refused(size: Size, limit: int) -> None:
    traffic = simulate(1500, size, tokens=limit, per_second=10)
    full = [used for _, used in sorted(traffic.windows.items())][:-1]
    assert len(full) >= 5
    assert min(full) >= 0.95 * limit
    assert sum(full) <= 1.2 * limit * len(full), "nor does it take much more than its share"
    assert traffic.refused <= 0.01 * traffic.sent
    assert traffic.end <= 1.1 * WINDOW * (len(full) + 1)


def test_three_hundred_calls_take_hardly_longer_than_the_windows_allow() -> None:
    traffic = simulate(300, even, tokens=60_000, per_second=10)
    assert traffic.refused == 0
    least = 2 + WINDOW + 150 / 10 + 2  # the first answer begins a window, and the second half is sent after it
    assert traffic.end <= 1.05 * least


def test_requests_are_spaced_so_that_none_is_refused() -> None:
    traffic = simulate(500, lambda chance: (10, 10, 1.0), tokens=None, per_second=10)
    assert traffic.refused == 0
    assert traffic.end <= 500 / 9.5 * 1.03 + 2


def test_a_pace_that_is_refused_slows_down_and_recovers() -> None:
    from metis_flow.inference.rates import Pace

    pace = Pace(10)
    pace.took(100.0)
    assert pace.ready_at() == pytest.approx(100.0 - 0.02 + 1 / 9.5)
    pace.refused(100.0)
    assert pace.ready_at() == 101.0
    pace.took(101.0)
    slow = pace.ready_at() - 101.0
    assert slow == pytest.approx(1 / (9.5 * 0.7))
    for _ in range(30):
        pace.went_well()
    pace.took(200.0)
    assert pace.ready_at() == pytest.approx(200.0 - 0.02 + 1 / 9.5)
    assert Pace(None).ready_at() < 0


def test_estimates_are_learnt() -> None:
    estimator = TokenEstimator()
    assert estimator.estimate(1000, None) == 1000 * FIRST_RATIO + FIRST_COMPLETION
    assert estimator.estimate(1000, 300) == 1000 * FIRST_RATIO + 300
    for _ in range(300):
        estimator.learn(1000, 210, 40)
    assert estimator.ratio == pytest.approx(0.21)
    assert estimator.estimate(2000, 300) == pytest.approx(2000 * 0.21 + 40)
    assert estimator.estimate(2000, 20) == pytest.approx(2000 * 0.21 + 20)
    mixed = TokenEstimator()
    for n in range(600):
        mixed.learn(1000, 210, (100, 100, 400)[n % 3])
    assert pytest.approx(mixed.completion(None), rel=0.05) == 300, "those that are out are the longer ones"


def test_characters_of_a_conversation() -> None:
    parts = [{"type": "text", "text": "abc"}]
    assert count_characters([{"content": "four"}, {"content": None}, {"role": "user"}]) == 4
    assert count_characters([{"content": parts}]) == len(str(parts))
