"""What goes wrong by itself: which faults, how often, and when."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from metis_flow.errors import did_you_mean

#: Every fault, with what the client sees.
FAULTS: dict[str, str] = {
    "401_inactive": "401: the token is not active",
    "401_globus": "401: the token could not be checked with Globus",
    "429_requests": "429: more than 10 requests a second",
    "429_nginx": "429 of the proxy in front, with a body of its own shape",
    "429_tokens": "429: the tokens of this minute are used up",
    "500_internal": "500 without a reason (internal_error)",
    "500_jobs": "500: the status page is broken",
    "502": "502 of the proxy in front, an HTML page",
    "503_maintenance": "503: the cluster is under maintenance",
    "503_not_live": "503: the model is not live",
    "504": "504: the upstream took too long, said at once",
    "504_jobs": "504: the status page took too long",
    "timeout": "the same after the whole time limit",
    "refused": "500: the upstream refuses connections; on a stream an error chunk",
    "dropped": "500: the upstream breaks off; on a stream an error chunk after some text",
    "stalled": "504 after the time limit; on a stream an error chunk after some text",
    "upstream_not_json": "500: the upstream answers 200 with something that is not JSON",
    "cut": "the connection is closed without an answer",
    "cut_mid": "the connection is closed within the answer",
    "not_json": "200 with an HTML page",
    "null_content": "200 with `content: null`",
    "empty_content": "200 with empty content",
    "reasoning": "200 with `content: null` and the text in `reasoning_content`",
    "think": "200 with a <think> block before the text",
    "markup": "200 with <|channel|> markup in the text",
    "length": "200 with half of the text and finish_reason length",
    "sse_error": "on a stream an error object within it; otherwise 500 of the upstream",
    "no_done": "on a stream no finish_reason and no [DONE]; otherwise 500",
}

#: Shorter names of some.
ALIASES = {"500": "upstream_500", "429_upstream": "upstream_429", "401_upstream": "upstream_401"}

_UPSTREAM = re.compile(r"upstream_(\d{3})")
#: Only as spells: they change the gateway itself, not one answer.
SPELLS = ("not_live", "globus_outage", "token_expiry", "maintenance")


def upstream_status(fault: str) -> int | None:
    """The status of an ``upstream_N`` fault, or None for another fault."""
    found = _UPSTREAM.fullmatch(fault)
    return int(found[1]) if found else None


def check_fault(name: str) -> str:
    """The full name of a fault.

    Raises:
        ValueError: there is no such fault.
    """
    full = ALIASES.get(name, name)
    if full in FAULTS or upstream_status(full) is not None:
        return full
    hint = did_you_mean(name, [*FAULTS, *ALIASES, "upstream_503"]) or "see metis_flow.testing.gateway.faults.FAULTS"
    raise ValueError(f"no fault is called {name!r}: {hint}")


@dataclass(frozen=True)
class Spell:
    """Some time in which one thing is wrong.

    Args:
        kind: ``not_live`` (503 for every chat), ``maintenance``, ``globus_outage`` (no token can be checked),
            ``token_expiry`` (every access token issued so far dies, once), or a fault.
        start: the chat request at which it begins; every chat request that arrives counts, from 0.
        calls: how many chat requests it lasts.
        seconds: gateway seconds that it lasts instead.
    """

    kind: str
    start: int
    calls: int = 1
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in SPELLS:
            object.__setattr__(self, "kind", check_fault(self.kind))


@dataclass(frozen=True)
class Faults:
    """A plan of faults, the same for the same seed and the same number of calls.

    Args:
        seed: of the random numbers.
        rate: share of each fault among the chat requests which would otherwise be answered; all together at most 1.
        at: fault of single ones of those, by number from 0.
        spells: see `Spell`.

    >>> Faults(seed=1, rate={"429_requests": 0.025, "cut": 0.01}, spells=[Spell("not_live", start=100, calls=20)])
    """

    seed: int = 0
    rate: Mapping[str, float] = field(default_factory=dict)
    at: Mapping[int, str] = field(default_factory=dict)
    spells: Sequence[Spell] = ()

    def __post_init__(self) -> None:
        rate = {check_fault(name): share for name, share in self.rate.items()}
        if any(share < 0 for share in rate.values()) or sum(rate.values()) > 1 + 1e-9:
            raise ValueError(f"the rates of the faults must be 0 to 1 together, not {dict(self.rate)!r}")
        object.__setattr__(self, "rate", rate)
        object.__setattr__(self, "at", {int(n): check_fault(name) for n, name in self.at.items()})
        object.__setattr__(self, "spells", tuple(self.spells))

    def as_json(self) -> dict[str, Any]:
        """A form that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Faults:
        """The plan that `as_json` wrote."""
        spells = [Spell(**spell) for spell in document.get("spells", ())]
        return cls(**{**document, "spells": spells})


class FaultPlan:
    """A plan as it unfolds. One event loop uses it."""

    def __init__(self, faults: Faults | None) -> None:
        self._faults = faults or Faults()
        self._random = random.Random(self._faults.seed)
        self._drawn = 0
        self._until: dict[int, float] = {}  # ends of the spells that last for a time
        self._next: list[str] = []

    def fail_next(self, fault: str, times: int) -> None:
        """Give the next chat requests this fault, before any planned one."""
        self._next.extend([check_fault(fault)] * times)

    def draw(self) -> str | None:
        """The fault of the next chat request that would be answered."""
        if self._next:
            return self._next.pop(0)
        faults = self._faults
        number = self._drawn
        self._drawn += 1
        if number in faults.at:
            return faults.at[number]
        if not faults.rate:
            return None
        point = self._random.random()
        for name, share in faults.rate.items():
            point -= share
            if point < 0:
                return name
        return None

    def spells_at(self, arrival: int, now: float) -> list[str]:
        """What is wrong when this chat request arrives.

        Args:
            arrival: its number, from 0.
            now: gateway seconds.
        """
        if not self._faults.spells:
            return []
        return [spell.kind for i, spell in enumerate(self._faults.spells) if self._is_on(i, spell, arrival, now)]

    def _is_on(self, index: int, spell: Spell, arrival: int, now: float) -> bool:
        if spell.kind == "token_expiry":
            return arrival == spell.start
        if spell.seconds is None:
            return spell.start <= arrival < spell.start + spell.calls
        if arrival < spell.start:
            return False
        return now < self._until.setdefault(index, now + spell.seconds)
