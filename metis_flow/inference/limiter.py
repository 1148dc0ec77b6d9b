"""Who may send when: places, requests a second, tokens a minute. One limiter for all steps of a run."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from metis_flow.inference.clock import Clock, Timer, WallClock
from metis_flow.inference.errors import Withdrawn
from metis_flow.inference.rates import ModelGate, Pace, Waiter

TROUBLE = 0.1  # share of calls that a server in trouble answered with 5xx, above which a round brings no growth


@dataclass(frozen=True)
class LimiterSnapshot:
    """How the limiter stands.

    Args:
        in_flight: calls that hold a place.
        limit: places at present.
        waiting: calls that wait for one.
        tokens_per_minute: tokens charged in the present window, by model, where the endpoint has such a limit.
        waiting_why: what the first of those that wait waits for.
        retries: calls sent again, by the kind of what went wrong.
        allowance: most tokens of a window, by model, where the endpoint has such a limit.
    """

    in_flight: int
    limit: int
    waiting: int
    tokens_per_minute: dict[str, int] = field(default_factory=dict)
    waiting_why: str | None = None
    retries: dict[str, int] = field(default_factory=dict)
    allowance: dict[str, int] = field(default_factory=dict)


class Place:
    """The right to have one call in flight. It is held until its answer is durable."""

    __slots__ = ("_back", "_left", "_limiter", "gate", "since", "tokens")

    def __init__(self, limiter: Limiter, gate: ModelGate, tokens: float, since: float) -> None:
        self.gate = gate
        self.tokens = tokens
        self.since = since
        self._limiter = limiter
        self._back = False
        self._left = False

    def answered(self, tokens: int) -> None:
        """An answer came, and was charged so many tokens."""
        self._come_back()
        self._limiter.answered(self, tokens)

    def leave(self) -> None:
        """Free the place; doing so twice changes nothing."""
        if not self._left:
            self._left = True
            self._come_back()
            self._limiter.left()

    def _come_back(self) -> None:
        if not self._back:
            self._back = True
            self.gate.forget(self)
            self.gate.came_back(self.tokens)


class Limiter:
    """Places for calls in flight, given in the order of asking.

    It starts with `limit` places, halves them on a 429 (once for all calls that were out together), and takes a
    quarter more after each good round, up to `limit` again. A round is as many calls as there are places.

    Args:
        limit: most calls in flight.
        requests_per_second: of the endpoint, all models together; None for no limit.
        tokens_per_minute: of one model, where `set_tokens_per_minute` gives none of its own.
    """

    def __init__(
        self,
        limit: int,
        *,
        requests_per_second: float | None = None,
        tokens_per_minute: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.most = limit
        self.limit = limit
        self.in_flight = 0
        self.retries: Counter[str] = Counter()
        self.pace = Pace(requests_per_second)
        self._tokens_per_minute = tokens_per_minute
        self._clock = clock or WallClock()
        self._gates: dict[str | None, ModelGate] = {}
        self._tickets = 0
        self._waiting = 0
        self._withdrawn = False
        self._good = 0
        self._bad = 0
        self._halved_at = -inf
        self._timer: Timer | None = None
        self._why: str | None = None

    def gate(self, model: str | None) -> ModelGate:
        """What calls of a model wait for; None for requests that cost no tokens, such as for the list of models."""
        gate = self._gates.get(model)
        if gate is None:
            gate = self._gates[model] = ModelGate(self._tokens_per_minute if model is not None else None)
        return gate

    def set_tokens_per_minute(self, model: str, rate: int | None) -> None:
        """Take up a limit that the gateway told."""
        self.gate(model).tokens_per_minute = rate
        self._pump()

    async def enter(
        self,
        model: str | None,
        cost: Callable[[], float] = lambda: 0.0,
        *,
        again: bool = False,
        begun: bool = False,
    ) -> Place:
        """Wait for one's turn.

        Args:
            model: whose tokens it takes; None for none.
            cost: estimates the tokens that the call will be charged; asked when its turn comes, for by then more
                is known.
            again: the call was sent before; it goes before those that were not.
            begun: it goes on with something that has been paid for, and is let in also after `withdraw`.

        Raises:
            Withdrawn: nothing new is sent any more.
        """
        if self._withdrawn and not begun:
            raise Withdrawn
        gate = self.gate(model)
        now = self._clock.now()
        if not self._waiting and self._may_go(gate, now):
            return self._grant(gate, cost(), now)
        self._tickets += 1
        waiter = Waiter(0 if again else self._tickets, cost, asyncio.get_running_loop().create_future(), begun)
        (gate.returned if again else gate.queue).append(waiter)
        self._waiting += 1
        self._pump()
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            self._abandon(waiter)
            raise

    def withdraw(self) -> None:
        """Let nothing new in: calls that wait for their turn end with `Withdrawn`; those in flight go on."""
        self._withdrawn = True
        for gate in self._gates.values():
            for waiter in (*gate.returned, *gate.queue):
                if not waiter.begun and not waiter.turn.done():
                    waiter.turn.set_exception(Withdrawn())
                    self._waiting -= 1

    def halve(self, place: Place) -> None:
        """A 429 came back: halve the places, once for all calls that were out together."""
        if place.since > self._halved_at:
            self.limit = max(1, self.limit // 2)
            self._halved_at = self._clock.now()
            self._good = self._bad = 0

    def in_trouble(self) -> None:
        """A 5xx came back: a round with many of them brings no growth."""
        self._bad += 1
        self._end_round()

    def answered(self, place: Place, tokens: int) -> None:
        """A good answer came."""
        now = self._clock.now()
        gate = place.gate
        gate.charge(now, tokens, place.since)
        if tokens and gate.tokens_per_minute is not None:
            gate.landing.learn(now - place.since, tokens)
        self.pace.went_well()
        self._good += 1
        self._end_round()
        if self._waiting:
            self._pump()

    def left(self) -> None:
        """A place is free."""
        self.in_flight -= 1
        if self._waiting:
            self._pump()

    def close(self) -> None:
        """Forget the timer, at the end of the run."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def snapshot(self) -> LimiterSnapshot:
        now = self._clock.now()
        gates = [(name, gate) for name, gate in tuple(self._gates.items()) if name and gate.tokens_per_minute]
        used = {name: gate.used(now) for name, gate in gates}
        allowance = {name: gate.tokens_per_minute or 0 for name, gate in gates}
        why = self._why if self._waiting else None
        return LimiterSnapshot(self.in_flight, self.limit, self._waiting, used, why, dict(self.retries), allowance)

    def _may_go(self, gate: ModelGate, now: float) -> bool:
        return self.in_flight < self.limit and self.pace.ready_at() <= now and gate.ready_at(now) <= now

    def _grant(self, gate: ModelGate, tokens: float, now: float) -> Place:
        self.in_flight += 1
        self.pace.took(now)
        gate.took(tokens)
        place = Place(self, gate, tokens, now)
        gate.watch(place)
        return place

    def _end_round(self) -> None:
        if self._good + self._bad >= self.limit:
            if self._bad <= TROUBLE * self.limit:
                self.limit = min(self.most, self.limit + max(1, self.limit // 4))
            self._good = self._bad = 0

    def _abandon(self, waiter: Waiter) -> None:
        """A waiting call was cancelled, perhaps at the moment when its turn came."""
        if waiter.turn.done() and not waiter.turn.cancelled():
            if waiter.turn.exception() is None:
                waiter.turn.result().leave()
        else:
            self._waiting -= 1
            self._pump()

    def _pump(self) -> None:
        """Give turns to all that may go, and set the timer for the next one that may."""
        now = self._clock.now()
        soonest = inf
        while True:
            if self.in_flight >= self.limit:
                self._why = "concurrency"
                break
            gate, at = self._next_gate(now)
            soonest = min(soonest, at)
            if gate is None:
                break
            at = self.pace.ready_at()
            if at > now:
                self._why = "requests a second"
                soonest = min(soonest, at)
                break
            waiter = gate.pop()
            self._waiting -= 1
            waiter.turn.set_result(self._grant(gate, waiter.cost(), now))
        self._set_timer(soonest)

    def _next_gate(self, now: float) -> tuple[ModelGate | None, float]:
        """The gate whose first call may go and has waited longest, and when a closed one opens."""
        best: ModelGate | None = None
        ticket = inf
        soonest = inf
        for gate in self._gates.values():
            head = gate.head()
            if head is None:
                continue
            at = gate.ready_at(now)
            if at > now:
                soonest = min(soonest, at)
                self._why = gate.why
            elif head.ticket < ticket:
                best, ticket = gate, head.ticket
        return best, soonest

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if when < inf:
            self._timer = self._clock.call_at(when, self._pump)
