"""What was asked of the gateway, and what it answered."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


def request_hash(body: Mapping[str, Any]) -> str:
    """32 hex digits that stand for a chat request, the same for any order of its keys."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Call:
    """One request.

    Args:
        number: from 0, in the order in which they ended.
        route: as ``chat/completions``, ``jobs``, ``oauth2/token``.
        status: HTTP status; 0 for a connection that was cut.
        kind: what the answer was: ``answer``, ``stream``, or what was wrong.
        user: the id of the person, where the token was good.
        key: `request_hash` of the body of a chat request.
        body: that body, as the client sent it.
        seconds: real seconds that it took.
    """

    number: int
    route: str
    status: int
    kind: str
    user: str | None
    key: str | None
    body: dict[str, Any] | None
    seconds: float


@dataclass(frozen=True)
class Counts:
    """Sums over all requests so far.

    Args:
        total: requests.
        routes, statuses, kinds: requests by each.
        faults: faults that were put in, by name (those that came of limits and states are only in `kinds`).
        in_flight: chat requests being answered now.
        high_water: the most that there were at once.
        answered: usable chat answers that were delivered.
        distinct: different requests among them.
        tokens: charged to anybody.
        refresh_attempts: requests for a new access token by a refresh token.
        refreshes: those that were granted.
        logins: authorization codes turned into tokens.
        revocations: tokens revoked.
    """

    total: int
    routes: dict[str, int]
    statuses: dict[int, int]
    kinds: dict[str, int]
    faults: dict[str, int]
    in_flight: int
    high_water: int
    answered: int
    distinct: int
    tokens: int
    refresh_attempts: int
    refreshes: int
    logins: int
    revocations: int

    @property
    def repeated(self) -> int:
        """Answers that were paid for more than once."""
        return self.answered - self.distinct

    def as_json(self) -> dict[str, Any]:
        """A form that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Counts:
        """The counts that `as_json` wrote, after a way through JSON."""
        statuses = {int(status): n for status, n in document["statuses"].items()}
        return cls(**{**document, "statuses": statuses})


class Ledger:
    """Keeps the sums, and the last calls. One event loop uses it."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Begin anew; what is in flight stays so."""
        self.routes: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.auth: Counter[str] = Counter()
        self.high_water = self.in_flight
        self.tokens = 0
        self.total = 0
        self.calls: deque[Call] = deque(maxlen=self._keep)

    def enter(self) -> None:
        """A chat request begins to be answered."""
        self.in_flight += 1
        self.high_water = max(self.high_water, self.in_flight)

    def leave(self) -> None:
        """It has been."""
        self.in_flight -= 1

    def add(
        self,
        route: str,
        status: int,
        kind: str,
        *,
        user: str | None,
        key: str | None,
        body: dict[str, Any] | None,
        seconds: float,
    ) -> None:
        """One request has ended."""
        self.routes[route] += 1
        self.statuses[status] += 1
        self.kinds[kind] += 1
        if self._keep:
            self.calls.append(Call(self.total, route, status, kind, user, key, body, seconds))
        self.total += 1

    def counts(self) -> Counts:
        """All sums now."""
        return Counts(
            total=self.total,
            routes=dict(self.routes),
            statuses=dict(self.statuses),
            kinds=dict(self.kinds),
            faults=dict(self.faults),
            in_flight=self.in_flight,
            high_water=self.high_water,
            answered=sum(self.answers.values()),
            distinct=len(self.answers),
            tokens=self.tokens,
            refresh_attempts=self.auth["refresh_attempts"],
            refreshes=self.auth["refreshes"],
            logins=self.auth["logins"],
            revocations=self.auth["revocations"],
        )
