"""Endpoints: who answers chat completions, and how they are reached. One file each."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from metis_flow.errors import ConfigError
from metis_flow.inference.config_files import config_files, find_file, read_config
from metis_flow.inference.sourced import BASE_URL, KEY, MODELS, read_assignments
from metis_flow.units import parse_duration

DEFAULT_CONCURRENCY = 64
DEFAULT_TIMEOUT = 120.0

_WORDS = {True: "yes", False: "no", "true": "yes", "false": "no"}


def _yes_or_no(value: Any) -> Any:
    return _WORDS.get(value, value) if isinstance(value, bool | str) else value


def _seconds(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str | int | float) else value


def _processes(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError("should be 'auto' or a whole number above 0")


def _both_rates(value: Any) -> Any:
    return {"user": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Auth(_Part):
    """How one shows who one is.

    `globus`: the login of `metis-flow auth login`. `env`: the environment variable `variable`. `command`: what a
    program prints. `file`: what a file holds, or the variable that it assigns
    (a path is relative to the endpoint's file). `none`: not at all.
    """

    kind: Literal["globus", "env", "command", "file", "none"]
    variable: str | None = None
    command: str | list[str] | None = None
    path: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Auth:
        needed = {"env": "variable", "command": "command", "file": "path"}.get(self.kind)
        if needed is not None and not getattr(self, needed):
            raise ValueError(f"auth of kind '{self.kind}' needs '{needed}: …'")
        return self


class Supports(_Part):
    """What the server can do. `probe`: the first real call finds out."""

    response_format: Annotated[Literal["probe", "yes", "no"], BeforeValidator(_yes_or_no)] = "probe"
    array_of_requests: Annotated[Literal["yes", "no"], BeforeValidator(_yes_or_no)] = "no"


class TokenRates(_Part):
    """Tokens a minute: of one person on one model, and of everybody on it."""

    user: int | None = Field(default=None, gt=0)
    model: int | None = Field(default=None, gt=0)

    @property
    def least(self) -> int | None:
        """The one that binds, or None where there is none."""
        return min((rate for rate in (self.user, self.model) if rate is not None), default=None)


class EndpointLimits(_Part):
    """Rates of the endpoint; None means that it has none. `timeout` is in seconds.

    Attributes:
        processes: how many processes of this machine send calls. 1: the driver alone. More: so many worker processes,
            in chunks. `auto`: the driver alone, until it is too busy for an endpoint that would answer more.
    """

    requests_per_second: float | None = Field(default=None, gt=0)
    tokens_per_minute: Annotated[TokenRates, BeforeValidator(_both_rates)] = TokenRates()
    concurrency: int = Field(default=DEFAULT_CONCURRENCY, ge=1)
    timeout: Annotated[float, BeforeValidator(_seconds)] = DEFAULT_TIMEOUT
    processes: Annotated[Literal["auto"] | int, BeforeValidator(_processes)] = "auto"

    @property
    def has_rates(self) -> bool:
        """Whether the endpoint counts requests or tokens, and the driver has to."""
        return self.requests_per_second is not None or self.tokens_per_minute.least is not None


class EndpointConfig(_Part):
    """One endpoint file.

    Attributes:
        name: the file's name without its suffix.
        source: the file.
        kind: `openai` (a server that speaks OpenAI's chat completions) or `embedded` (a small model in this process).
        base_url: what `/chat/completions` is appended to.
        base_url_variable: the environment variable that holds it instead.
        gateway: address of an ALCF inference gateway, which tells models and their status; `base_url` lies below it.
        model: the model where a workflow names none.
        model_variable: the environment variable that holds it instead, or several with commas or blanks between.
        models: the models that the file or the variable lists.
        insecure_http: whether a token may go over http to a host that is not this machine.
    """

    name: str
    source: Path
    kind: Literal["openai", "embedded"]
    base_url: str | None = None
    base_url_variable: str | None = None
    gateway: str | None = None
    auth: Auth = Auth(kind="none")
    supports: Supports = Supports()
    requests_per_body: int = Field(default=1, ge=1)
    limits: EndpointLimits = EndpointLimits()
    insecure_http: bool = False
    model: str | None = None
    model_variable: str | None = None
    models: tuple[str, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _fits_together(self) -> EndpointConfig:
        if self.kind == "openai" and not (self.base_url or self.base_url_variable):
            raise ValueError("an endpoint of kind 'openai' needs 'base_url: https://…'")
        if self.requests_per_body > 1 and self.supports.array_of_requests != "yes":
            raise ValueError("'requests_per_body' above 1 needs 'supports: {array_of_requests: yes}'")
        if self.base_url is not None:
            check_address(self.base_url, "base_url", self.auth.kind, insecure_http=self.insecure_http)
        if self.gateway is not None:
            check_address(self.gateway, "gateway", self.auth.kind, insecure_http=self.insecure_http)
            if self.base_url is None or not self.base_url.startswith(self.gateway.rstrip("/") + "/"):
                raise ValueError("'base_url' should lie below 'gateway'")
        return self

    @property
    def address(self) -> str:
        """Where chat completions are asked for, without a final slash.

        Raises:
            ConfigError: the variable that should hold it is not set.
        """
        if self.base_url is None:
            raise missing_variable(self, self.base_url_variable or "OPENAI_BASE_URL", "https://…/v1")
        return self.base_url.rstrip("/")

    @property
    def cluster(self) -> str | None:
        """The gateway's name for the cluster (`metis`), or None where there is no gateway."""
        if self.gateway is None:
            return None
        return self.address[len(self.gateway.rstrip("/")) + 1 :].split("/", 1)[0]


def check_address(address: str, field: str, auth: str, *, insecure_http: bool) -> None:
    """Refuse an address that a token should not be sent to.

    Raises:
        ValueError: it is no http address, holds a password, or would send a token in the clear.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"'{field}' should be an address such as https://host/v1, not {address!r}")
    if parts.username or parts.password:
        raise ValueError(f"'{field}' should hold no user name or password; say how to log in under 'auth'")
    if parts.query or parts.fragment:
        raise ValueError(f"'{field}' should end with its path, without '?' or '#'")
    if parts.scheme == "https" or auth == "none" or is_loopback(parts.hostname):
        return
    if auth == "globus":
        raise ValueError(f"'{field}': a Globus token is only sent over https, not to {address}")
    if not insecure_http:
        raise ValueError(
            f"'{field}': a token is not sent over plain http to {parts.hostname}; "
            "write https, or 'insecure_http: true' if the network between is yours"
        )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def missing_variable(endpoint: EndpointConfig, variable: str, example: str) -> ConfigError:
    """The error of an endpoint whose environment variable is not set."""
    return ConfigError(
        f"the endpoint '{endpoint.name}' needs the environment variable {variable}, which is not set",
        where=str(endpoint.source),
        hint=f"type: export {variable}={example}",
    )


def find_endpoint(name_or_path: str, *, beside: Path | None = None) -> EndpointConfig:
    """The endpoint of a name, or of a file.

    Args:
        name_or_path: a name, the path of an endpoint file, or of a shell file that assigns ``BASE_URL``,
            ``SAMBANOVA_API_KEY`` and ``MODELS``.
        beside: the workflow's folder; its ``endpoints/`` come before the user's own, and those before the packaged.

    Returns:
        The endpoint, with its address and model filled in from the environment where its file says so.

    Raises:
        ConfigError: there is no such endpoint, or its file is wrong.
    """
    return _read(find_file("endpoints", name_or_path, mark="kind", beside=beside))


def list_endpoints(*, beside: Path | None = None) -> list[EndpointConfig]:
    """Every endpoint that has a name, in the order of names."""
    return [_read(path) for _, path in sorted(config_files("endpoints", mark="kind", beside=beside).items())]


def _read(path: Path) -> EndpointConfig:
    if path.suffix not in (".yaml", ".yml"):
        return _read_sourced(path)
    endpoint = read_config(path, EndpointConfig, name=path.stem, source=path)
    base_url = os.environ.get(endpoint.base_url_variable or "", "").strip()
    models = _model_names(os.environ.get(endpoint.model_variable or "", ""))
    changes: dict[str, Any] = {"model": models[0], "models": models} if models else {}
    if base_url:
        changes["base_url"] = base_url
        try:
            check_address(base_url, "base_url", endpoint.auth.kind, insecure_http=endpoint.insecure_http)
        except ValueError as error:
            raise ConfigError(f"{endpoint.base_url_variable}: {error}", where=str(endpoint.source)) from None
    return endpoint.model_copy(update=changes)


def _model_names(text: str) -> tuple[str, ...]:
    """The names in a list with commas or blanks between them."""
    return tuple(text.replace(",", " ").split())


def _read_sourced(path: Path) -> EndpointConfig:
    """An endpoint file of the older kind: a shell file with assignments, read without running it."""
    values = read_assignments(path)
    if BASE_URL not in values:
        raise ConfigError(f"the file assigns no {BASE_URL}", where=str(path), hint=f"add: export {BASE_URL}=https://…")
    models = _model_names(values.get(MODELS, ""))
    auth = Auth(kind="file", path=str(path.resolve()), variable=KEY) if KEY in values else Auth(kind="none")
    try:
        check_address(values[BASE_URL], BASE_URL, auth.kind, insecure_http=False)
    except ValueError as error:
        raise ConfigError(str(error), where=str(path)) from None
    return EndpointConfig(
        name=path.stem,
        source=path,
        kind="openai",
        base_url=values[BASE_URL],
        auth=auth,
        models=models,
        model=models[0] if models else None,
    )
