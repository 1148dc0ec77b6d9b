"""Places: how many, in which order, and how they shrink and grow."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from inference_kit import EventClock, HastyClock

from metis_flow.inference.clock import sleep
from metis_flow.inference.limiter import Limiter, Place


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), 20)

    asyncio.run(bounded())


async def turns() -> None:
    """Let everything that can happen now happen."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_places_are_given_in_the_order_of_asking() -> None:
    async def main() -> None:
        limiter = Limiter(2)
        order: list[int] = []

        async def call(n: int) -> None:
            place = await limiter.enter("m")
            order.append(n)
            await asyncio.sleep(0)
            place.leave()

        await asyncio.gather(*(call(n) for n in range(50)))
        assert order == list(range(50))
        assert limiter.in_flight == 0

    run(main)


def test_no_more_than_the_limit_are_out_and_a_retry_goes_first() -> None:
    async def main() -> None:
        limiter = Limiter(1)
        first = await limiter.enter("m")
        order: list[str] = []

        async def call(name: str, again: bool) -> None:
            place = await limiter.enter("m", again=again)
            order.append(name)
            place.leave()

        tasks = [asyncio.create_task(call(name, name.startswith("again"))) for name in ("a", "b", "again1", "again2")]
        await turns()
        assert order == []
        shown = limiter.snapshot()
        assert (shown.in_flight, shown.limit, shown.waiting, shown.waiting_why) == (1, 1, 4, "concurrency")
        first.leave()
        first.leave()
        await asyncio.gather(*tasks)
        assert order == ["again1", "again2", "a", "b"]

    run(main)


def test_who_is_cancelled_leaves_no_hole() -> None:
    async def main() -> None:
        limiter = Limiter(1)
        first = await limiter.enter("m")
        gone = asyncio.create_task(limiter.enter("m"))
        stays = asyncio.create_task(limiter.enter("m"))
        await turns()
        gone.cancel()
        await turns()
        assert limiter.snapshot().waiting == 1
        first.leave()
        place = await stays
        late = asyncio.create_task(limiter.enter("m"))
        await turns()
        place.leave()  # the turn is given …
        late.cancel()  # … at the moment at which nobody wants it any more
        await turns()
        assert limiter.in_flight == 0
        assert limiter.snapshot().waiting == 0

    run(main)


async def out(limiter: Limiter, count: int) -> list[Place]:
    return [await limiter.enter("m") for _ in range(count)]


def test_429_halves_once_for_all_that_were_out_together() -> None:
    async def main() -> None:
        clock = HastyClock()
        limiter = Limiter(64, clock=clock)
        together = await out(limiter, 10)
        clock.time += 1
        for place in together:
            limiter.halve(place)
            place.leave()
        assert limiter.limit == 32
        for _ in range(8):
            clock.time += 1
            (place,) = await out(limiter, 1)
            limiter.halve(place)
            place.leave()
        assert limiter.limit == 1

    run(main)


def test_it_grows_back_by_rounds_of_good_answers() -> None:
    async def main() -> None:
        clock = HastyClock()
        limiter = Limiter(16, clock=clock)
        limiter.halve((await out(limiter, 1))[0])
        seen = []
        for _ in range(60):
            (place,) = await out(limiter, 1)
            place.answered(0)
            place.leave()
            seen.append(limiter.limit)
        assert seen[6] == 8
        assert seen[7] == 10
        assert seen[17] == 12
        assert max(seen) == seen[-1] == 16

    run(main)


def test_5xx_pauses_growth() -> None:
    async def main() -> None:
        clock = HastyClock()
        limiter = Limiter(16, clock=clock)
        limiter.halve((await out(limiter, 1))[0])

        async def round_of(bad: int) -> int:
            size = limiter.limit
            for n in range(size):
                (place,) = await out(limiter, 1)
                if n < bad:
                    limiter.in_trouble()
                else:
                    place.answered(0)
                place.leave()
            return limiter.limit

        assert await round_of(bad=2) == 8
        assert await round_of(bad=8) == 8
        assert await round_of(bad=0) == 10
        assert await round_of(bad=1) == 12, "one in ten is no trouble"

    run(main)


def test_a_closed_model_does_not_hold_up_another() -> None:
    async def main() -> None:
        clock = HastyClock()
        limiter = Limiter(4, clock=clock)
        limiter.gate("asleep").close(clock.now() + 60, "the model is not live", clock.now())
        waits = [asyncio.create_task(limiter.enter("asleep")) for _ in range(3)]
        (await limiter.enter("awake")).leave()
        assert clock.time == 1000.0
        await turns()
        assert [task.done() for task in waits] == [True, False, False], "one finds out whether it is back"
        assert clock.time == 1060.0
        place = await waits[0]
        place.answered(10)
        await turns()
        assert all(task.done() for task in waits)

    run(main)


@pytest.mark.parametrize("seed", range(3))
def test_a_pipeline_item_by_item_takes_hardly_longer_than_its_calls(seed: int) -> None:
    """In the order of asking, first steps do not crowd out later ones, and no whole chain is left for the end."""
    places, items, steps = 64, 500, 3
    clock = EventClock()
    limiter = Limiter(places, clock=clock)
    chance = random.Random(seed)
    seconds = [[chance.uniform(0.2, 5.0) for _ in range(steps)] for _ in range(items)]
    done: list[float] = []

    async def main() -> None:
        windows = [asyncio.Semaphore(2 * places) for _ in range(steps)]

        async def chain(each: list[float]) -> None:
            for window, one in zip(windows, each, strict=True):
                async with window:
                    place = await limiter.enter("m")
                    await sleep(clock, one)
                    place.leave()
            done.append(clock.now())

        await clock.run(asyncio.gather(*map(chain, seconds)))

    asyncio.run(main())
    bound = sum(map(sum, seconds)) / places
    assert max(done) <= 1.06 * bound
    assert min(done) <= 0.35 * bound, "nor do all items wait for the first step's last"
