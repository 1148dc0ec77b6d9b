"""The two rates of a gateway: requests a second, and tokens a minute of one model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from metis_flow.inference.estimates import LandingTimes

if TYPE_CHECKING:
    import asyncio

    from metis_flow.inference.limiter import Place

WINDOW = 60.0
FIRST_PROBE = 5.0
LONGEST_PROBE = 20.0
AIM = 1.05  # of a window: what is expected is sometimes late or less, and what a window does not give is lost
LOOK_SECONDS = 0.5  # between two looks at how much of what is out will still be charged in this window

_SHARE = 0.95  # of the requests allowed: the network moves requests closer together on their way
_LATE = 0.02  # seconds that a late request may give back to the next one


class Pace:
    """Requests a second, evenly spaced; slower for a while after a refusal.

    Args:
        per_second: what the gateway allows; None for no limit.
    """

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._share = 1.0
        self._next = -inf

    @property
    def is_known(self) -> bool:
        """Whether there is a limit."""
        return self._per_second is not None

    def ready_at(self) -> float:
        """When the next request may go."""
        return self._next

    def took(self, now: float) -> None:
        """A request goes now."""
        if self._per_second is not None:
            self._next = max(self._next, now - _LATE) + 1.0 / (self._per_second * _SHARE * self._share)

    def refused(self, now: float) -> None:
        """The gateway found it too fast: somebody else is using the same account."""
        self._share = max(0.1, self._share * 0.7)
        self._next = max(self._next, now + 1.0)

    def went_well(self) -> None:
        """An answer came: take a little of the speed back."""
        if self._share < 1.0:
            self._share = min(1.0, self._share + 0.01)


@dataclass
class Waiter:
    """A call that waits for its turn; `begun` where it goes on with what has been paid for already."""

    ticket: int
    cost: Callable[[], float]
    turn: asyncio.Future[Place]
    begun: bool = False


class ModelGate:
    """The calls of one model that wait, and what they wait for.

    The gateway counts tokens in fixed windows of 60 s, which begin with the first answer charged. It looks before a
    call and charges after it. So what is in flight is reserved here, by an estimate, until its answer tells. Towards
    the end of a window some of that will be charged in the next one only: so much more is let out, as long as the
    next one does not fill up with it.

    Args:
        tokens_per_minute: what the gateway allows; None for no limit.
    """

    def __init__(self, tokens_per_minute: int | None) -> None:
        self.tokens_per_minute = tokens_per_minute
        self.queue: deque[Waiter] = deque()
        self.returned: deque[Waiter] = deque()
        self.outstanding = 0
        self.why: str | None = None
        self.closed_since: float | None = None
        self.landing = LandingTimes()
        self._reserved = 0.0
        self._out: dict[Place, tuple[float, float]] = {}
        self._spared = 0.0
        self._later = 0.0
        self._look_at = -inf
        self._charged = 0
        self._started: float | None = None
        self._closed_until = -inf
        self._closed_at = -inf
        self._one_by_one = False
        self._probe = FIRST_PROBE

    def head(self) -> Waiter | None:
        """The first that still waits; calls that were sent before go before those that were not."""
        for queue in (self.returned, self.queue):
            while queue and queue[0].turn.done():
                queue.popleft()
            if queue:
                return queue[0]
        return None

    def pop(self) -> Waiter:
        """Take the head out."""
        return (self.returned or self.queue).popleft()

    def ready_at(self, now: float) -> float:
        """When the next call may go, as far as it can be told; infinity: when one that is out comes back."""
        if now < self._closed_until:
            return self._closed_until
        if self._one_by_one and self.outstanding:
            return inf
        if self.tokens_per_minute is None:
            return -inf
        self._roll(now)
        if now >= self._look_at:
            self._look(now)
        aim = AIM * self.tokens_per_minute
        is_full = self._charged >= self.tokens_per_minute
        if not is_full and self._charged + self._reserved - self._spared < aim and self._later < aim:
            return -inf
        self.why = "tokens a minute"
        end = self._started + WINDOW if self._started is not None else inf
        return min(end, self._look_at) if self._out and not is_full else end

    def used(self, now: float) -> int:
        """Tokens charged in the present window."""
        self._roll(now)
        return self._charged

    def took(self, tokens: float) -> None:
        """A call goes out, with an estimate of what it will cost."""
        self.outstanding += 1
        self._reserved += tokens

    def came_back(self, tokens: float) -> None:
        """A call is back, or given up: its estimate no longer counts."""
        self.outstanding -= 1
        self._reserved = max(0.0, self._reserved - tokens) if self.outstanding else 0.0

    def watch(self, place: Place) -> None:
        """The call that holds this place was let out with `took`: from now on it counts by when it will be charged."""
        if self.tokens_per_minute is not None:
            self._count(place, place.since)

    def forget(self, place: Place) -> None:
        """The call is about to be counted as back."""
        spared, later = self._out.pop(place, (0.0, 0.0))
        self._spared -= spared
        self._later -= later

    def _look(self, now: float) -> None:
        """Count anew when what is out will be charged."""
        self._look_at = now + LOOK_SECONDS
        self._spared = self._later = 0.0
        for place in self._out:
            self._count(place, now)

    def _count(self, place: Place, now: float) -> None:
        left = WINDOW if self._started is None else self._started + WINDOW - now
        soon, later = self.landing.shares(now - place.since, left)
        counts = self._out[place] = place.tokens * (1.0 - soon), place.tokens * later
        self._spared += counts[0]
        self._later += counts[1]

    def charge(self, now: float, tokens: int, sent: float) -> None:
        """An answer was charged: the window begins with the first one. `sent` is when its call went out."""
        self._roll(now)
        if self._started is None:
            self._started = now
        self._charged += tokens
        if sent > self._closed_at:
            self.open()

    def exhausted(self, now: float, sent: float) -> None:
        """The gateway says that the window is full; `sent` is when the call went out that was told so.

        Where a window of our own runs, it is waited out. Where none does, others fill it, and one call at a time
        finds out when it ends.
        """
        self._roll(now)
        if sent <= self._closed_at:
            return  # it was out together with the one that closed the gate
        if self._started is not None and self.tokens_per_minute is not None:
            self._charged = max(self._charged, self.tokens_per_minute)
            return
        self.close(now + self._probe, "tokens a minute", now)
        self._probe = min(self._probe * 2.0, LONGEST_PROBE)

    def close(self, until: float, why: str, now: float) -> None:
        """Let nobody through until then, and after that one at a time until one succeeds."""
        self._closed_until = max(self._closed_until, until)
        self._closed_at = now
        self._one_by_one = True
        self.why = why
        if self.closed_since is None:
            self.closed_since = now

    def give_up(self) -> None:
        """Stop waiting for it to open: who comes now finds out for himself."""
        self._closed_until = -inf

    def open(self) -> None:
        """A call succeeded."""
        self._one_by_one = False
        self._closed_until = -inf
        self.closed_since = None
        self._probe = FIRST_PROBE
        self.why = None

    def _roll(self, now: float) -> None:
        if self._started is not None and now >= self._started + WINDOW:
            self._started, self._charged = None, 0
