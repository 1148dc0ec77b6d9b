"""Shares of the limits that chunks of calls are lent: together never more than there is, and none used beyond."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

import pytest

from metis_flow.inference.clock import WallClock
from metis_flow.inference.errors import Withdrawn
from metis_flow.inference.leases import LATE, SLOT_SECONDS, Held, Lease, Lessor, Spending
from metis_flow.inference.limiter import Limiter

MODEL = "m"


def most_in_a_second(moments: Sequence[float]) -> int:
    """The most of these moments that lie within any one second."""
    return max((sum(at <= other < at + 1 for other in moments) for at in moments), default=0)


@pytest.mark.parametrize("seed", range(25))
def test_random_leases_never_exceed_what_the_limiter_has(seed: int) -> None:
    rng = random.Random(seed)
    limit, share = rng.randint(1, 40), rng.randint(1, 6)
    rate = rng.choice([None, float(rng.randint(2, 60))])
    tokens = rng.choice([None, rng.randint(2_000, 50_000)])

    async def run() -> None:
        limiter = Limiter(limit, requests_per_second=rate, tokens_per_minute=tokens)
        lessor = Lessor(limiter, WallClock(), share)
        out: list[Held] = []
        moments: list[float] = []
        for _ in range(60):
            if out and (rng.random() < 0.4 or len(out) == share):
                held = out.pop(rng.randrange(len(out)))
                for cost in held.reserved:
                    if rng.random() < 0.8:
                        lessor.charge(held, int(cost * rng.random()), time.monotonic())
                if rng.random() < 0.1:
                    lessor.refused(held)
                lessor.give_back(held)
            else:
                costs = [0.0 if tokens is None else rng.uniform(1, 3_000) for _ in range(rng.randint(1, 30))]
                try:
                    held = await asyncio.wait_for(lessor.lend(MODEL, costs), 0.02)
                except asyncio.TimeoutError:
                    continue
                assert 1 <= held.count <= len(costs)
                assert held.lease.places <= max(1, limiter.limit // share)
                out.append(held)
                moments += held.lease.moments or ()
            assert sum(held.lease.places for held in out) == limiter.in_flight <= limit
            if tokens is not None:
                lent = sum(sum(held.reserved) for held in out)
                alone = len(out) == 1 and out[0].count == 1
                assert alone or limiter.gate(MODEL).used(WallClock().now()) + lent <= tokens
            if rate is not None:
                assert all(len(held.lease.moments or ()) == held.count for held in out)
        if rate is not None:
            assert most_in_a_second(moments) <= rate
        for held in out:
            lessor.give_back(held)
        assert limiter.in_flight == 0
        limiter.close()

    asyncio.run(run())


def test_moments_that_are_lent_are_nobody_elses() -> None:
    async def run() -> None:
        limiter = Limiter(64, requests_per_second=20.0)
        lessor = Lessor(limiter, WallClock(), 2)
        first, second = [await lessor.lend(MODEL, [0.0] * 100) for _ in range(2)]
        assert first.lease.moments is not None
        assert second.lease.moments is not None
        assert max(first.lease.moments) < min(second.lease.moments)
        assert len(first.lease.moments) <= 20 * SLOT_SECONDS + 1
        waited_for = limiter.pace.ready_at()
        assert waited_for > max(second.lease.moments)  # what the driver itself sends comes after them
        limiter.close()

    asyncio.run(run())


def test_a_429_in_a_worker_leaves_fewer_places_to_the_next_lease() -> None:
    async def run() -> None:
        limiter = Limiter(32)
        lessor = Lessor(limiter, WallClock(), 2)
        held = await lessor.lend(MODEL, [0.0] * 100)
        assert held.lease.places == 16
        lessor.refused(held)
        lessor.refused(held)  # of the same chunk: it counts once
        lessor.give_back(held)
        again = await lessor.lend(MODEL, [0.0] * 100)
        assert again.lease.places == 8
        lessor.give_back(again)

    asyncio.run(run())


def test_a_model_that_was_away_is_tried_with_one_call() -> None:
    async def run() -> None:
        limiter = Limiter(32)
        now = WallClock().now()
        limiter.gate(MODEL).close(now - 1.0, "the model is not live", now - 61.0)
        held = await Lessor(limiter, WallClock(), 2).lend(MODEL, [0.0] * 100)
        assert (held.count, held.lease.places) == (1, 1)
        limiter.close()

    asyncio.run(run())


def test_nothing_is_lent_once_the_run_is_being_stopped() -> None:
    async def run() -> None:
        limiter = Limiter(4)
        limiter.withdraw()
        with pytest.raises(Withdrawn):
            await Lessor(limiter, WallClock(), 2).lend(MODEL, [0.0])

    asyncio.run(run())


def test_a_chunk_sends_no_more_than_its_tokens_allow() -> None:
    async def run() -> list[bool]:
        spending = Spending(Lease(4, time.monotonic() + 9, tokens=100.0))
        sent = []
        for cost, charged in [(40.0, 90), (40.0, 1), (5.0, 5), (5.0, 0)]:
            try:
                await spending.turn(cost)
            except Withdrawn:
                sent.append(False)
            else:
                spending.charged(cost, charged)
                sent.append(True)
        return sent

    assert asyncio.run(run()) == [True, False, True, True]


def test_a_moment_that_was_missed_is_lost() -> None:
    async def run() -> None:
        now = time.monotonic()
        spending = Spending(Lease(4, now + 9, moments=(now - 1.0, now - 2 * LATE, now + 0.1)))
        await spending.turn(0.0)
        assert time.monotonic() >= now + 0.1
        with pytest.raises(Withdrawn):
            await spending.turn(0.0)

    asyncio.run(run())


def test_a_chunk_that_is_told_to_stop_lets_nothing_through() -> None:
    spending = Spending(Lease(4, time.monotonic() + 9))
    spending.stop()
    with pytest.raises(Withdrawn):
        asyncio.run(spending.turn(0.0))
