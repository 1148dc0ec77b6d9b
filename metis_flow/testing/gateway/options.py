"""What a gateway is made of: models, people, limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from metis_flow.testing.gateway.faults import Faults

CLUSTER = "metis"
FRAMEWORK = "api"

# Globus: the native client, the app and the resource server that log people in to Metis.
CLIENT_ID = "58fdd3bc-e1c3-4ce5-80ea-8d6b87cfb944"
APP_NAME = "inference_app"
RESOURCE_SERVER = "681c10cc-f684-4540-bcd7-0b4df3bc26ef"
SCOPE = f"https://auth.globus.org/scopes/{RESOURCE_SERVER}/action_all"

TOKEN_LIFETIME = 172_800.0  # 48 hours

Rule = Callable[[dict[str, Any], int], Any | Awaitable[Any]]


@dataclass(frozen=True)
class Limits:
    """The gateway's rates. None, or 0, turns one off.

    Args:
        requests_per_second: of one user over a sliding second, all routes together.
        requests_per_second_address: of one address, at the proxy in front; refused in its own shape.
        tokens_per_minute_user: of one user on one model, in a fixed window of 60 s from the first charged call.
        tokens_per_minute_model: of all users on one model, likewise.
    """

    requests_per_second: int | None = 10
    requests_per_second_address: int | None = 50
    tokens_per_minute_user: int | None = 60_000
    tokens_per_minute_model: int | None = 100_000

    @classmethod
    def off(cls) -> Limits:
        """No limits at all."""
        return cls(None, None, None, None)


@dataclass(frozen=True)
class Model:
    """A model of the cluster.

    Args:
        name: its exact id.
        status: the status page's word: Live, Starting, Queued, Stopped, Offline, or "".
        description: what the status page says of it.
        version: the status page's model version while it is Live.
        context_window: shown under `capabilities`, where given.
        tokens_per_minute_user, tokens_per_minute_model: its own limits; None means the gateway's, 0 means none.
        on_status_page: False for a model that is listed but that the status page does not know.
        groups: Globus groups that may use it; empty for everybody.
        reported_name: the `model` of its answers; the upstream may call it something else.
    """

    name: str
    status: str = "Live"
    description: str = ""
    version: str = "1"
    context_window: int | None = 131_072
    tokens_per_minute_user: int | None = None
    tokens_per_minute_model: int | None = None
    on_status_page: bool = True
    groups: Sequence[str] = ()
    reported_name: str | None = None


@dataclass(frozen=True)
class Person:
    """Whom a token stands for: the fields of `/whoami`."""

    id: str = "00000000-0000-4000-8000-000000000001"
    name: str = "Ada Test"
    username: str = "ada@anl.gov"
    groups: Sequence[str] = ()
    idp_id: str = "0dcf5063-bffd-40f7-b403-24f97e32fa47"
    idp_name: str = "Argonne National Laboratory"

    def as_whoami(self) -> dict[str, Any]:
        """The document of `/whoami`."""
        return {
            "id": self.id,
            "name": self.name,
            "username": self.username,
            "user_group_uuids": list(self.groups),
            "idp_id": self.idp_id,
            "idp_name": self.idp_name,
            "auth_service": "globus",
        }


DEFAULT_MODELS = (
    Model("gpt-oss-120b-131072", description="gpt-oss-120b on SN40L"),
    Model("DeepSeek-R1-0528", description="DeepSeek-R1 on SN40L"),
    Model("gpt-oss-120b", description="gpt-oss-120b on SN40L"),
)


@dataclass(frozen=True)
class Options:
    """How a gateway is started.

    Args:
        rule: answers a request: ``rule(body, n)`` gets the body as the upstream would (the model's exact name,
            `stream` a bool) and the number of the answer from 0; returns what `Reply.of` takes, or an awaitable of it;
            or raises a `Refusal`, which is answered as it is.
        upstream: base address of an OpenAI-compatible server (``http://…/v1``) that answers instead of a rule.
        upstream_key: its key; sent as a bearer token.
        speed: how much faster windows, caches and the upstream's time limit run.
        models: the cluster's models, in the status page's order.
        any_model: whether every other name is a live model too, from when it is first asked for.
        limits: rates; None for none.
        latency: real seconds that an answer takes, where its reply says nothing else.
        timeout: gateway seconds after which the upstream is given up with 504.
        faults: what goes wrong by itself.
        token: the first token, issued at the start; made up when None.
        token_lifetime: real seconds that an access token lives.
        person: whom that token stands for.
        keep: how many of the last calls are kept, with their bodies, to be read.
        port: 0 for a free one.
    """

    rule: Rule | None = None
    upstream: str | None = None
    upstream_key: str | None = None
    speed: float = 1.0
    models: Sequence[Model] = DEFAULT_MODELS
    any_model: bool = False
    limits: Limits | None = field(default_factory=Limits)
    latency: float = 0.0
    timeout: float = 120.0
    faults: Faults | None = None
    token: str | None = None
    token_lifetime: float = TOKEN_LIFETIME
    person: Person = field(default_factory=Person)
    keep: int = 10_000
    port: int = 0

    def __post_init__(self) -> None:
        if self.rule is not None and self.upstream is not None:
            raise ValueError("a gateway has a rule or an upstream, not both")
