"""Tokens: whom one stands for, and everything that one may be refused for."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from metis_flow.testing.gateway.clock import Clock
from metis_flow.testing.gateway.options import TOKEN_LIFETIME, Person
from metis_flow.testing.gateway.shapes import Refusal, coded, detail

REFUSED_FOR = 60.0  # gateway seconds that a failed check of a token is remembered

_DOMAINS = "anl.gov, alcf.anl.gov, or providers with approved projects"
_HELPER = "'python3 inference_auth_token.py authenticate --force'"
_INACTIVE = "Token is either not active or invalid"

#: A token's problem -> what the gateway says at the check with Globus; remembered for a minute.
_CHECK_PROBLEMS: dict[str, str] = {
    "inactive": _INACTIVE,
    "introspection": (
        "Could not introspect token with Globus /v2/oauth2/token/introspect. "
        "('POST', 'https://auth.globus.org/v2/oauth2/token/introspect', 'Basic', 500, 'INTERNAL', 'unavailable')"
    ),
    "dependent": "Could not recover dependent access token for groups.api.globus.org. 'groups.api.globus.org'",
}

#: A token's problem -> what the gateway says once it knows the person; looked at anew each time.
_PERSON_PROBLEMS: dict[str, Callable[[Person], str]] = {
    "expired": lambda person: "Access token expired.",
    "domain": lambda person: (
        f"Error: Permission denied. Must authenticate with {_DOMAINS}. "
        f"Currently authenticated as {person.name} ({person.username}). "
        "If you are passing an access token directly to this API, please logout from Globus by visiting "
        f"https://app.globus.org/logout and re-authenticate with the following command: {_HELPER}."
    ),
    "policy": lambda person: (
        "Error: Permission denied from internal policies. This is likely due to a high-assurance timeout. "
        "Please logout by visiting https://app.globus.org/logout, and re-authenticate with the following command: "
        f"{_HELPER}. Make sure you authenticate with an authorized identity provider: {_DOMAINS}."
    ),
    "group": lambda person: (
        f"Error: Permission denied. User ({person.name} - {person.username}) not part of the Globus Groups "
        f"applied for {person.idp_name}."
    ),
    "service_group": lambda person: "Error: User is not a member of an allowed Globus Group.",
}

#: Every problem that a token may be given.
TOKEN_PROBLEMS = (*_CHECK_PROBLEMS, *_PERSON_PROBLEMS)


@dataclass
class AccessToken:
    """An access token that was issued.

    Args:
        person: whom it stands for.
        expires_at: unix seconds.
        problem: one of `TOKEN_PROBLEMS`, or None.
    """

    person: Person
    expires_at: float
    problem: str | None = None


class Access:
    """All access tokens, and the check of one. One event loop uses it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, AccessToken] = {}
        self._refused: dict[str, tuple[float, str]] = {}  # token -> until when, for which problem
        self.globus_down = False

    def issue(
        self,
        person: Person,
        *,
        lifetime: float = TOKEN_LIFETIME,
        problem: str | None = None,
        value: str | None = None,
    ) -> str:
        """A new access token.

        Args:
            person: whom it stands for.
            lifetime: real seconds; 0 or less makes one that is dead already.
            problem: what it will be refused for.
            value: the token itself; made up when None.

        Raises:
            ValueError: there is no such problem.
        """
        if problem is not None and problem not in TOKEN_PROBLEMS:
            raise ValueError(f"no problem of a token is called {problem!r}; known: {', '.join(TOKEN_PROBLEMS)}")
        token = value or "Ag" + secrets.token_urlsafe(48).replace("-", "x").replace("_", "y")
        self._tokens[token] = AccessToken(person, time.time() + lifetime, problem)
        self._refused.pop(token, None)
        return token

    def expire(self, token: str | None = None) -> int:
        """Let one token die, or all that were issued so far; how many died."""
        now = time.time()
        dying = [token] if token is not None else list(self._tokens)
        died = 0
        for value in dying:
            known = self._tokens.get(value)
            if known is not None and known.expires_at > now:
                known.expires_at = now
                died += 1
        return died

    def forget_refusals(self) -> None:
        """Drop what is remembered of failed checks."""
        self._refused.clear()

    def person(self, header: str | None, *, globus_down: bool = False) -> Person:
        """Whom this Authorization header stands for.

        Args:
            header: its value.
            globus_down: Globus cannot be asked now.

        Raises:
            Refusal: 401, in one of its meanings.
        """
        token = self._bearer(header)
        until, problem = self._refused.get(token, (0.0, ""))
        if until > self._clock.now():
            raise _unauthorized(problem, f"Token introspection: {_CHECK_PROBLEMS[problem]}")
        known = self._check(token, globus_down=globus_down)
        if isinstance(known, str):
            self._refused[token] = (self._clock.now() + REFUSED_FOR, known)
            raise _unauthorized(known, _CHECK_PROBLEMS[known])
        if known.problem is not None:
            raise _unauthorized(known.problem, _PERSON_PROBLEMS[known.problem](known.person))
        return known.person

    def _check(self, token: str, *, globus_down: bool) -> AccessToken | str:
        """The token, or its problem, as Globus would say."""
        if globus_down or self.globus_down:
            return "introspection"
        known = self._tokens.get(token)
        if known is None or known.expires_at <= time.time():
            return "inactive"
        return known.problem if known.problem in _CHECK_PROBLEMS else known

    @staticmethod
    def _bearer(header: str | None) -> str:
        if not header:
            text = "Error: Missing ('Authorization': 'Bearer <your-access-token>') in request headers."
            raise detail("401_missing", 401, text)
        words = header.split()
        if len(words) != 2:
            raise _unauthorized("header", "Auth only allows header type Authorization: Bearer <token>.")
        if words[0] != "Bearer":
            text = "Something went wrong while reading headers. Authorization type should be Bearer."
            raise _unauthorized("header", text)
        return words[1]


def _unauthorized(problem: str, message: str) -> Refusal:
    kind = "401_globus" if problem == "introspection" else f"401_{problem}"
    return coded(kind, 401, "unauthorized", message)


def inactive() -> Refusal:
    """401: the token is not active."""
    return _unauthorized("inactive", _INACTIVE)


def globus_unavailable() -> Refusal:
    """401: the token could not be checked."""
    return _unauthorized("introspection", _CHECK_PROBLEMS["introspection"])
