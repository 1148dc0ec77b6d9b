"""Changing and reading a running gateway: the same verbs from a test's own process and over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from metis_flow.testing.gateway.core import Core
from metis_flow.testing.gateway.faults import FaultPlan, Faults
from metis_flow.testing.gateway.globus_auth import TOKEN_STATES
from metis_flow.testing.gateway.models import STATUS_PAGES
from metis_flow.testing.gateway.options import CLIENT_ID, Limits, Person


class Control:
    """One method for each verb; arguments and results are JSON. See `Handle` for what they mean.

    Args:
        core: the gateway.
    """

    VERBS = frozenset(
        {
            "answered", "calls", "counts", "expire_tokens", "fail_next", "issue_token", "login", "logins_asked",
            "reset", "revoke_logins", "set_faults", "set_globus", "set_latency", "set_limits", "set_maintenance",
            "set_model_status", "set_status_page",
        }
    )  # fmt: skip

    def __init__(self, core: Core) -> None:
        self._core = core

    def do(self, verb: str, arguments: Mapping[str, Any]) -> Any:
        """Do one of them.

        Raises:
            ValueError: there is no such verb, or an argument is wrong.
        """
        if verb not in self.VERBS:
            raise ValueError(f"no verb is called {verb!r}; known: {', '.join(sorted(self.VERBS))}")
        try:
            return getattr(self, verb)(**arguments)
        except TypeError as error:
            raise ValueError(f"{verb}: {error}") from error

    # -- reading

    def counts(self) -> dict[str, Any]:
        return self._core.ledger.counts().as_json()

    def calls(self) -> list[dict[str, Any]]:
        return [asdict(call) for call in self._core.ledger.calls]

    def answered(self) -> dict[str, int]:
        return dict(self._core.ledger.answers)

    def logins_asked(self) -> list[dict[str, str]]:
        return list(self._core.globus.asked)

    # -- models and status

    def set_model_status(self, model: str, status: str | None, at_once: bool) -> None:
        models = self._core.models
        models.set_on_status_page(model, status is not None)
        if status is not None:
            models.set_status(model, status)
        if at_once:
            models.forget_status()

    def set_status_page(self, page: str, at_once: bool) -> None:
        _one_of("status page", page, STATUS_PAGES)
        self._core.models.status_page = page
        if at_once:
            self._core.models.forget_status()

    def set_maintenance(self, notice: str | None) -> None:
        self._core.models.maintenance = notice

    # -- what goes wrong, how fast, how much

    def set_faults(self, faults: Mapping[str, Any] | None) -> None:
        self._core.plan = FaultPlan(Faults.from_json(faults) if faults is not None else None)
        self._core.arrivals = 0

    def fail_next(self, fault: str, times: int) -> None:
        self._core.plan.fail_next(fault, times)

    def set_latency(self, seconds: float) -> None:
        self._core.latency = seconds

    def set_limits(self, limits: Mapping[str, Any] | None) -> None:
        self._core.rates.limits = Limits(**limits) if limits is not None else Limits.off()

    def reset(self) -> None:
        core = self._core
        core.ledger.reset()
        core.rates.reset()
        core.access.forget_refusals()
        core.models.forget_status()

    # -- tokens

    def issue_token(
        self, problem: str | None, lifetime: float | None, person: Mapping[str, Any] | None, value: str | None
    ) -> str:
        core = self._core
        who = Person(**person) if person is not None else core.options.person
        seconds = core.globus.lifetime if lifetime is None else lifetime
        return core.access.issue(who, lifetime=seconds, problem=problem, value=value)

    def expire_tokens(self, token: str | None) -> int:
        return self._core.access.expire(token)

    def login(self, lifetime: float | None, person: Mapping[str, Any] | None) -> dict[str, Any]:
        globus = self._core.globus
        who = Person(**person) if person is not None else globus.person
        seconds = globus.lifetime if lifetime is None else lifetime
        return globus.login(who, lifetime=seconds, client_id=CLIENT_ID)

    def revoke_logins(self) -> int:
        return self._core.globus.revoke_logins()

    def set_globus(
        self,
        introspection: str | None,
        tokens: str | None,
        delay: float | None,
        lifetime: float | None,
        problem: str | None,
        person: Mapping[str, Any] | None,
    ) -> None:
        globus = self._core.globus
        if introspection is not None:
            _one_of("introspection", introspection, ("up", "down"))
            self._core.access.globus_down = introspection == "down"
        if tokens is not None:
            _one_of("tokens", tokens, TOKEN_STATES)
            globus.state = tokens
        if delay is not None:
            globus.delay = delay
        if lifetime is not None:
            globus.lifetime = lifetime
        if problem is not None:
            globus.problem = problem or None
        if person is not None:
            globus.person = replace(globus.person, **person)


def _one_of(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{what} is one of {', '.join(choices)}, not {value!r}")
