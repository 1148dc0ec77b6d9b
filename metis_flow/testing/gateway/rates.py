"""Requests a second in a sliding window, tokens a minute in a fixed one."""

from __future__ import annotations

from collections import defaultdict, deque

from metis_flow.testing.gateway.clock import Clock
from metis_flow.testing.gateway.options import Limits, Model
from metis_flow.testing.gateway.shapes import address_rate, coded, detail

WINDOW = 60.0  # gateway seconds of a window for tokens


class SlidingSecond:
    """So many requests in any one second of each key; refused ones do not count."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: defaultdict[str, deque[float]] = defaultdict(deque)

    def allows(self, key: str, limit: int | None) -> bool:
        """Whether one more is allowed now; it is counted if so."""
        if not limit:
            return True
        now = self._clock.now()
        seen = self._seen[key]
        while seen and seen[0] <= now - 1.0:
            seen.popleft()
        if len(seen) >= limit:
            return False
        seen.append(now)
        return True


class TokenWindows:
    """Tokens charged in fixed windows, each from the first charge after the last one ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, ...], tuple[float, int]] = {}  # key -> end, tokens

    def used(self, *key: str) -> int:
        """Tokens charged in the present window of this key."""
        end, tokens = self._windows.get(key, (0.0, 0))
        return tokens if self._clock.now() < end else 0

    def charge(self, tokens: int, *key: str) -> None:
        """Add tokens to the present window of this key, or begin a new one."""
        now = self._clock.now()
        end, used = self._windows.get(key, (0.0, 0))
        self._windows[key] = (end, used + tokens) if now < end else (now + WINDOW, tokens)


class Rates:
    """All limits of one gateway."""

    def __init__(self, clock: Clock, limits: Limits | None) -> None:
        self._clock = clock
        self.limits = limits or Limits.off()
        self.reset()

    def reset(self) -> None:
        """Forget what was used."""
        self._requests = SlidingSecond(self._clock)
        self._tokens = TokenWindows(self._clock)

    def take_address(self, address: str) -> None:
        """Count a request of an address at the proxy in front.

        Raises:
            Refusal: 429, shape D.
        """
        if not self._requests.allows(f"address {address}", self.limits.requests_per_second_address):
            raise address_rate()

    def take_user(self, user: str) -> None:
        """Count a request of a user, or of an address that showed no token.

        Raises:
            Refusal: 429, shape B.
        """
        if not self._requests.allows(f"user {user}", self.limits.requests_per_second):
            raise too_many_requests()

    def limits_of(self, model: Model) -> tuple[int, int]:
        """Tokens a minute (of one user, of all users) on this model; 0 for no limit."""
        user, everybody = model.tokens_per_minute_user, model.tokens_per_minute_model
        if user is None:
            user = self.limits.tokens_per_minute_user or 0
        if everybody is None:
            everybody = self.limits.tokens_per_minute_model or 0
        return user, everybody

    def check_tokens(self, model: Model, user: str) -> None:
        """Look whether this user may call this model now.

        Raises:
            Refusal: 429, shape A.
        """
        of_user, of_model = self.limits_of(model)
        by_model, by_user = self._tokens.used(model.name), self._tokens.used(model.name, user)
        if (of_model and by_model >= of_model) or (of_user and by_user >= of_user):
            raise tokens_used_up(by_model, by_user)

    def usage(self, model: Model, user: str) -> tuple[int, int]:
        """Tokens used in the present windows: (by all users, by this one)."""
        return self._tokens.used(model.name), self._tokens.used(model.name, user)

    def charge(self, model: Model, user: str, tokens: int) -> None:
        """Charge an answer to the model and to the user on it."""
        self._tokens.charge(tokens, model.name)
        self._tokens.charge(tokens, model.name, user)


def too_many_requests() -> Exception:
    """429: too many requests in a second."""
    return detail("429_requests", 429, "Too many requests.")


def tokens_used_up(by_model: int, by_user: int) -> Exception:
    """429: the tokens of this minute are used up."""
    info = {"global_model_usage": by_model, "user_model_usage": by_user}
    return coded("429_tokens", 429, "too_many_requests", "Tokens/minute limit exceeded", info)
