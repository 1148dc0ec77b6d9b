"""Shares of an endpoint's limits, lent to chunks of calls that worker processes send.

The driver's limiter stays the one that knows them all: what a chunk is lent is taken out of it, and comes back with the
chunk. So the leases and the driver's own calls together never exceed what the limiter gives.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from metis_flow.inference.clock import Clock, sleep
from metis_flow.inference.errors import Withdrawn
from metis_flow.inference.limiter import Limiter, Place

SENDING_SECONDS = 4.0
"""A chunk sends nothing after that: what is left comes back, and goes where there is room."""
SLOT_SECONDS = 1.0
"""Of requests that have a rate, a chunk is lent the moments of so many seconds."""
ON_THE_WAY = 0.25
"""Seconds that a chunk may take to a worker; the first moment that it is lent comes after that."""
LOOK_SECONDS = 0.1
"""Between two looks whether chunks that are out have left room for a call."""
LATE = 0.02
"""Seconds that a request may be late; a moment that was missed by more is lost, for the next one follows."""


@dataclass(frozen=True)
class Lease:
    """What a chunk may use while it is out.

    Attributes:
        places: calls in flight at once.
        until: when it stops sending (`time.monotonic`, which all processes of a machine share).
        moments: when a request may be sent, one each, where the endpoint counts requests; else None.
        tokens: that its calls may be charged, where the endpoint counts them; else None.
    """

    places: int
    until: float
    moments: tuple[float, ...] | None = None
    tokens: float | None = None


@dataclass(frozen=True, eq=False)
class Held:
    """A lease that is out, as the driver sees it.

    Attributes:
        count: the calls that it is for, the first so many of those it was asked for.
        place: of the limiter; the lease's other places were taken together with it.
        reserved: tokens of each call, where the endpoint counts them.
    """

    lease: Lease
    count: int
    place: Place
    model: str
    reserved: Sequence[float]


class Lessor:
    """Lends shares of a limiter.

    Args:
        clock: the limiter's own.
        share: how many leases are out at once: each gets no more than its part of the places.
    """

    def __init__(self, limiter: Limiter, clock: Clock, share: int) -> None:
        self._limiter = limiter
        self._clock = clock
        self._share = share
        self._lent: defaultdict[str, float] = defaultdict(float)

    async def lend(self, model: str, costs: Sequence[float]) -> Held:
        """Wait until one of these calls may be sent, and lend what there is for as many of them as may.

        Args:
            costs: tokens that each call will probably be charged; zeros where the endpoint counts none.

        Raises:
            Withdrawn: nothing new is sent any more.
        """
        limiter = self._limiter
        place = await self._enter(model, costs[0])
        # where the model was away, one call finds out whether it is back
        count = len(costs) if place.gate.closed_since is None else 1
        moments = self._moments(count)
        if moments is not None:
            count = len(moments)
        reserved: list[float] = []
        if place.gate.tokens_per_minute is not None:
            reserved = [costs[0], *self._tokens(place, model, costs[:count])]
            count = len(reserved)
            self._lent[model] += sum(reserved)
        free = limiter.limit - limiter.in_flight
        places = 1 + max(0, min(limiter.limit // self._share - 1, count - 1, free))
        limiter.in_flight += places - 1
        lease = Lease(
            places=places,
            until=time.monotonic() + SENDING_SECONDS,
            moments=None if moments is None else moments[:count],
            tokens=sum(reserved) if reserved else None,
        )
        return Held(lease, count, place, model, reserved)

    async def _enter(self, model: str, cost: float) -> Place:
        """Wait until a call may be sent. One that needs more than a window still has goes when no other is out."""
        while True:
            place = await self._limiter.enter(model, lambda: cost)
            if not self._lent[model] or cost <= self._left(place, model):
                return place
            place.leave()
            await sleep(self._clock, LOOK_SECONDS)

    def _left(self, place: Place, model: str) -> float:
        """Tokens of a model's window that are neither charged nor lent."""
        gate = place.gate
        if gate.tokens_per_minute is None:
            return inf
        return gate.tokens_per_minute - gate.used(self._clock.now()) - self._lent[model]

    def _moments(self, most: int) -> tuple[float, ...] | None:
        """Moments of the limiter's pace that nobody else gets then; None where it keeps none."""
        limiter = self._limiter
        if not limiter.pace.is_known:
            return None
        now = self._clock.now()
        ahead = time.monotonic() - now
        found: list[float] = []
        while len(found) < most:
            at = max(limiter.pace.ready_at(), now + ON_THE_WAY)
            if found and at > now + ON_THE_WAY + SLOT_SECONDS:
                break
            limiter.pace.took(at)
            found.append(at + ahead)
        return tuple(found)

    def _tokens(self, place: Place, model: str, costs: Sequence[float]) -> list[float]:
        """The costs of those calls after the first for which the window has room beside all that is out."""
        now, left = self._clock.now(), self._left(place, model) - costs[0]
        taken: list[float] = []
        for cost in costs[1:]:
            left -= cost
            if left < 0 or place.gate.ready_at(now) > now:
                break
            place.gate.took(cost)
            taken.append(cost)
        return taken

    def give_back(self, held: Held) -> None:
        """A chunk is back: what it was lent is free again, but for the tokens that it was charged."""
        self._lent[held.model] -= sum(held.reserved)
        for tokens in held.reserved[1:]:
            held.place.gate.came_back(tokens)
        for _ in range(held.lease.places - 1):
            self._limiter.left()
        held.place.leave()

    def charge(self, held: Held, tokens: int, at: float) -> None:
        """One call of a chunk was answered.

        Args:
            tokens: that it was charged.
            at: when (`time.monotonic`).
        """
        when = self._clock.now() - (time.monotonic() - at)
        held.place.gate.charge(when, tokens, held.place.since)
        self._limiter.answered(held.place, 0)

    def refused(self, held: Held) -> None:
        """The endpoint found a chunk's calls too many: there are fewer places from now on."""
        self._limiter.halve(held.place)


class Spending:
    """Keeps the calls of a chunk within its lease, in the worker. Places are a limiter's; this is all the rest."""

    def __init__(self, lease: Lease) -> None:
        self._moments = None if lease.moments is None else deque(lease.moments)
        self._tokens = lease.tokens
        self._over = False

    def stop(self) -> None:
        """Let nothing more through."""
        self._over = True

    async def turn(self, cost: float) -> None:
        """Wait for the moment of a call.

        Args:
            cost: tokens that it will probably be charged.

        Raises:
            Withdrawn: the lease does not cover it.
        """
        if self._moments is not None:
            await self._moment(self._moments)
        if self._over or (self._tokens is not None and cost > self._tokens):
            raise Withdrawn
        if self._tokens is not None:
            self._tokens -= cost

    def charged(self, cost: float, tokens: int) -> None:
        """A call is back, and was charged so many tokens instead of what it was to cost."""
        if self._tokens is not None:
            self._tokens += cost - tokens

    async def _moment(self, moments: deque[float]) -> None:
        while moments:
            at = moments.popleft()
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            if time.monotonic() <= at + LATE:
                return
        raise Withdrawn
