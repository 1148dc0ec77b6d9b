"""Requests a second and tokens a minute, in simulated time, against the gateway's own counting."""

from __future__ import annotations

import asyncio
import math
import random
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
from inference_kit import EventClock

from metis_flow.inference.clock import sleep
from metis_flow.inference.estimates import FIRST_COMPLETION, FIRST_RATIO, LandingTimes, TokenEstimator, count_characters
from metis_flow.inference.limiter import Limiter
from metis_flow.inference.rates import WINDOW
from metis_flow.testing.gateway.rates import SlidingSecond, TokenWindows


@dataclass
class Traffic:
    """What a simulated gateway saw."""

    sent: int = 0
    refused: int = 0
    windows: dict[float, int] = field(default_factory=dict)
    arrivals: list[float] = field(default_factory=list)
    end: float = 0.0

    def full(self) -> list[int]:
        """Tokens of each window at whose end there still were calls to send."""
        return [used for end, used in sorted(self.windows.items()) if end < max(self.arrivals)]

    def most_in_a_second(self) -> int:
        times = sorted(self.arrivals)
        return max(bisect_left(times, time + 1.0) - n for n, time in enumerate(times))


Size = Callable[[random.Random], tuple[int, int, float]]  # prompt tokens, completion tokens, seconds


def simulate(
    calls: int,
    size: Size,
    *,
    tokens: int | None,
    per_second: int | None = None,
    places: int = 64,
    jitter: float = 0.03,
    seed: int = 7,
) -> Traffic:
    """Put calls through a limiter to a gateway that looks before a call and charges after it."""
    clock = EventClock()
    chance = random.Random(seed)
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
    full = traffic.full()
    assert len(full) >= 5
    assert min(full) >= 0.95 * limit
    assert sum(full) <= 1.2 * limit * len(full), "nor does it take much more than its share"
    assert traffic.refused <= 0.01 * traffic.sent
    assert traffic.end <= 1.1 * WINDOW * (len(full) + 2)


def heavy_tailed(speed: tuple[float, float], median: int = 200) -> Size:
    """Answers of 10 to 4,000 tokens, most of them short, at so many tokens a second."""

    def size(chance: random.Random) -> tuple[int, int, float]:
        completion = max(10, min(4000, int(chance.lognormvariate(math.log(median), 1.3))))
        return chance.randint(50, 600), completion, 0.2 + completion / chance.uniform(*speed)

    return size


@pytest.mark.parametrize("seed", range(5))
def test_very_uneven_answers_fill_their_windows(seed: int) -> None:
    traffic = simulate(1000, heavy_tailed((100, 200)), tokens=60_000, per_second=10, seed=seed)
    full = traffic.full()
    assert len(full) >= 9
    assert min(full) >= 0.95 * 60_000
    assert sum(full) <= 1.2 * 60_000 * len(full)
    assert traffic.refused <= 0.01 * traffic.sent
    assert traffic.most_in_a_second() <= 10


@pytest.mark.parametrize("seed", range(3))
def test_answers_that_may_outlast_a_window_hardly_leave_any_of_it(seed: int) -> None:
    traffic = simulate(1000, heavy_tailed((50, 80), median=400), tokens=60_000, per_second=10, seed=seed)
    full = traffic.full()
    assert len(full) >= 13
    assert min(full) >= 0.9 * 60_000
    assert 1.0 * 60_000 * len(full) <= sum(full) <= 1.2 * 60_000 * len(full)
    assert traffic.refused <= 0.01 * traffic.sent


def test_three_hundred_calls_take_hardly_longer_than_the_windows_allow() -> None:
    traffic = simulate(300, even, tokens=60_000, per_second=10)
    assert traffic.refused == 0
    least = 2 + WINDOW + 150 / 10 + 2  # the first answer begins a window, and the second half is sent after it
    assert traffic.end <= 1.05 * least


def test_the_end_of_a_window_is_used_but_does_not_fill_the_next_one() -> None:
    clock = EventClock()
    limiter = Limiter(64, tokens_per_minute=10_000, clock=clock)
    gate = limiter.gate("m")
    for seconds in (10.0, 40.0) * 5:
        gate.landing.learn(seconds, 2000)
    gate.charge(0.0, 8000, 0.0)
    out: list[float] = []

    async def call() -> None:
        await limiter.enter("m", lambda: 2000.0)
        out.append(clock.now())

    async def main() -> None:
        await clock.run(asyncio.ensure_future(sleep(clock, 30.0)))
        calls = [asyncio.create_task(call()) for _ in range(12)]
        await clock.run(asyncio.ensure_future(sleep(clock, 29.0)))
        for task in calls:
            task.cancel()

    asyncio.run(main())
    assert out[:3] == [30.0] * 3, "half of each is expected within the 30 s that are left"
    assert [time // 1 for time in out[3:]] == [40.0] * 3, "they are slow ones after all, so three more go"
    assert len(out) == 6, "all six are on their way into the next window"


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


def test_it_is_learnt_when_tokens_are_charged() -> None:
    landing = LandingTimes()
    assert landing.shares(0.0, 1.0) == (1.0, 0.0), "before anything is known, all of it counts"
    for seconds, tokens in [(1.0, 100), (2.0, 200), (30.0, 3000), (40.0, 4100)]:
        landing.learn(seconds, tokens)
    out = (100**2 + 200**2 + 3000**2 + 4100**2) / 7400  # what a call that is out is expected to cost
    assert landing.shares(0.0, 60.0) == pytest.approx((7400 / 4 / out, 0.0))
    assert landing.shares(0.0, 5.0) == pytest.approx((300 / 4 / out, 7100 / 4 / out))
    assert landing.shares(2.0, 30.0) == pytest.approx((3000 / 2 / out, 4100 / 2 / out)), "the short ones are back"
    assert landing.shares(41.0, 5.0) == (1.0, 0.0), "longer than any before: it may come at any time"


def test_characters_of_a_conversation() -> None:
    parts = [{"type": "text", "text": "abc"}]
    assert count_characters([{"content": "four"}, {"content": None}, {"role": "user"}]) == 4
    assert count_characters([{"content": parts}]) == len(str(parts))
