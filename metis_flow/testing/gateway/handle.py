"""What a test may do with a gateway, wherever that runs."""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metis_flow.testing.gateway.faults import Faults
from metis_flow.testing.gateway.ledger import Call, Counts
from metis_flow.testing.gateway.options import APP_NAME, CLIENT_ID, RESOURCE_SERVER, Limits, Person


class Handle(ABC):
    """The addresses of a gateway, and the ways to read and change it."""

    base_url: str  #: ``http://127.0.0.1:PORT``
    token: str  #: an access token that works

    @abstractmethod
    def _ask(self, verb: str, **arguments: Any) -> Any:
        """Have a verb of `Control` done."""

    @property
    def gateway_url(self) -> str:
        """The address of the gateway."""
        return f"{self.base_url}/resource_server"

    @property
    def openai_url(self) -> str:
        """The `base_url` for the openai package."""
        return f"{self.gateway_url}/metis/api/v1"

    @property
    def auth_url(self) -> str:
        """The address of Globus Auth."""
        return f"{self.base_url}/"

    def environment(self) -> dict[str, str]:
        """The variables that send globus_sdk here for its logins."""
        return {"GLOBUS_SDK_SERVICE_URL_AUTH": self.auth_url}

    # -- reading

    @property
    def counts(self) -> Counts:
        """Sums over all requests so far."""
        return Counts.from_json(self._ask("counts"))

    @property
    def calls(self) -> list[Call]:
        """The last requests that ended, oldest first (`Options.keep` of them)."""
        return [Call(**call) for call in self._ask("calls")]

    @property
    def answered(self) -> dict[str, int]:
        """How often each chat request got a usable answer, by `request_hash`; 2 means paid for twice."""
        found: dict[str, int] = self._ask("answered")
        return found

    @property
    def logins_asked(self) -> list[dict[str, str]]:
        """The query of each authorize page that was opened."""
        found: list[dict[str, str]] = self._ask("logins_asked")
        return found

    # -- models and status

    def set_status(self, model: str, status: str | None, *, at_once: bool = False) -> None:
        """Change a model's status on the status page.

        Args:
            model: its exact name.
            status: Live, Starting, Queued, Stopped, Offline, ""; None takes the model off the page.
            at_once: drop the cached page too; else the change is seen when its 60 gateway seconds are over.

        Raises:
            ValueError: there is no such model.
        """
        self._ask("set_model_status", model=model, status=status, at_once=at_once)

    def set_status_page(self, page: str, *, at_once: bool = False) -> None:
        """Break the status page, or mend it.

        Args:
            page: ``ok``, ``broken``, ``timeout`` or ``not_an_object``.
            at_once: drop the cached page too.
        """
        self._ask("set_status_page", page=page, at_once=at_once)

    def set_maintenance(self, notice: str | None) -> None:
        """Begin maintenance with this notice; None ends it."""
        self._ask("set_maintenance", notice=notice)

    # -- what goes wrong, how fast, how much

    def set_faults(self, faults: Faults | None) -> None:
        """Begin this plan of faults, counting from now; None ends all."""
        self._ask("set_faults", faults=faults.as_json() if faults is not None else None)

    def fail_next(self, fault: str, times: int = 1) -> None:
        """Give the next chat requests that would be answered this fault."""
        self._ask("fail_next", fault=fault, times=times)

    def set_latency(self, seconds: float) -> None:
        """Change how many real seconds an answer takes."""
        self._ask("set_latency", seconds=seconds)

    def set_limits(self, limits: Limits | None) -> None:
        """Change the rates; None turns them off."""
        self._ask("set_limits", limits=asdict(limits) if limits is not None else None)

    def reset(self) -> None:
        """Forget all counts, calls, used rates, failed token checks and the cached status page."""
        self._ask("reset")

    # -- tokens

    def issue_token(
        self,
        *,
        problem: str | None = None,
        lifetime: float | None = None,
        person: Person | None = None,
        value: str | None = None,
    ) -> str:
        """A new access token.

        Args:
            problem: what it will be refused for: inactive, introspection, dependent, expired, domain, policy, group,
                service_group.
            lifetime: real seconds.
            person: whom it stands for.
            value: the token itself.
        """
        who = asdict(person) if person is not None else None
        token: str = self._ask("issue_token", problem=problem, lifetime=lifetime, person=who, value=value)
        return token

    def expire_tokens(self, token: str | None = None) -> int:
        """Let an access token die now, or all of them; how many died. Refresh tokens live on."""
        died: int = self._ask("expire_tokens", token=token)
        return died

    def revoke_logins(self) -> int:
        """Let all refresh tokens die, as after an idle half-year; how many there were."""
        died: int = self._ask("revoke_logins")
        return died

    def set_globus(
        self,
        *,
        introspection: str | None = None,
        tokens: str | None = None,
        delay: float | None = None,
        lifetime: float | None = None,
        problem: str | None = None,
        person: Mapping[str, Any] | None = None,
    ) -> None:
        """Change how Globus Auth behaves; what is None stays.

        Args:
            introspection: ``up``, or ``down``: the gateway cannot check tokens.
            tokens: ``up``, ``refuse`` (invalid_grant) or ``down`` (500): the token endpoint.
            delay: real seconds that the token endpoint takes.
            lifetime: real seconds that access tokens live which are issued from now on.
            problem: what they will be refused for; "" for nothing.
            person: fields of the person who logs in.
        """
        self._ask(
            "set_globus",
            introspection=introspection,
            tokens=tokens,
            delay=delay,
            lifetime=lifetime,
            problem=problem,
            person=person,
        )

    # -- files

    def write_token_file(
        self, home: Path | str, *, expires_in: float | None = None, person: Person | None = None
    ) -> Path:
        """Log in, and write the token file that globus_sdk, ALCF's helper and alcf-ai share.

        Args:
            home: the home folder.
            expires_in: real seconds that the access token lives; 0 or less for one that is dead.
            person: who logs in.

        Returns:
            The path of tokens.json (mode 0600).
        """
        from importlib.metadata import version

        who = asdict(person) if person is not None else None
        tokens = self._ask("login", lifetime=expires_in, person=who)
        document = {
            "data": {"DEFAULT": {RESOURCE_SERVER: tokens}},
            "format_version": "2.0",
            "globus-sdk.version": version("globus-sdk"),
        }
        path = Path(home) / ".globus" / "app" / CLIENT_ID / APP_NAME / "tokens.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_private(path, json.dumps(document))
        return path

    def write_endpoint(
        self, folder: Path | str, name: str = "metis", *, auth: Mapping[str, Any] | None = None, **fields: Any
    ) -> Path:
        """Write an endpoint file that points here.

        Args:
            folder: where.
            name: of the endpoint.
            auth: its `auth`; by default a file with this gateway's token, written beside it.
            fields: further fields of the file, or others instead.

        Returns:
            The path of ``<name>.yaml``.
        """
        import yaml

        path = Path(folder) / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        if auth is None:
            token_file = path.with_suffix(".token")
            _write_private(token_file, self.token + "\n")
            auth = {"kind": "file", "path": str(token_file)}
        content: dict[str, Any] = {
            "kind": "openai",
            "base_url": self.openai_url,
            "gateway": self.gateway_url,
            "auth": dict(auth),
            "supports": {"response_format": "probe", "array_of_requests": False},
            "limits": {"requests_per_second": 10, "tokens_per_minute": {"user": 60_000, "model": 100_000}},
        }
        path.write_text(yaml.safe_dump({**content, **fields}, sort_keys=False))
        return path

    def wait_for(self, done: Callable[[Counts], bool], *, seconds: float = 10.0) -> Counts:
        """Wait until ``done(counts)`` is true; the counts then.

        Raises:
            TimeoutError: it did not become true in so many real seconds.
        """
        end = time.monotonic() + seconds
        while True:
            counts = self.counts
            if done(counts):
                return counts
            if time.monotonic() > end:
                raise TimeoutError(f"not reached in {seconds} s; the counts are {counts}")
            time.sleep(0.01)


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
