"""Endpoints and models."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from metis_flow.inference.endpoints import EndpointConfig
from metis_flow.views.tables import Column, print_table
from metis_flow.views.values import near

_COLUMNS = (Column("endpoint"), Column("address"), Column("login"), Column("model"))
_FILE = Column("file", gives_way=True)


@dataclass(frozen=True)
class Reach:
    """What came of asking an endpoint.

    Attributes:
        answer: what it has, or why it could not be asked.
        who: the user that it takes one for, where it tells.
    """

    reachable: bool
    answer: str
    who: str | None = None

    def __str__(self) -> str:
        if not self.reachable:
            return f"no: {self.answer}"
        return f"yes: {self.answer}" + (f", you are {self.who}" if self.who else "")


def endpoint_as_json(endpoint: EndpointConfig, reach: Reach | None) -> dict[str, Any]:
    """The form in ``endpoints --json``. It holds no secret."""
    facts = {
        "name": endpoint.name,
        "kind": endpoint.kind,
        "address": endpoint.base_url,
        "gateway": endpoint.gateway,
        "auth": endpoint.auth.kind,
        "variable": endpoint.auth.variable,
        "model": endpoint.model,
        "models": list(endpoint.models),
        "file": str(endpoint.source),
    }
    return facts if reach is None else facts | asdict(reach)


def print_endpoints(endpoints: Sequence[EndpointConfig], reach: Mapping[str, Reach], out: TextIO) -> None:
    """A row for each endpoint; with what came of asking it where that was done."""
    columns = (*_COLUMNS, Column("reached"), _FILE) if reach else (*_COLUMNS, _FILE)
    print_table(columns, [_row(endpoint, reach.get(endpoint.name)) for endpoint in endpoints], out)


def _row(endpoint: EndpointConfig, reach: Reach | None) -> tuple[object, ...]:
    asked = () if reach is None else (reach,)
    return endpoint.name, _address(endpoint), _login(endpoint), endpoint.model, *asked, near(endpoint.source)


def _address(endpoint: EndpointConfig) -> str:
    if endpoint.kind == "embedded":
        return "in this process"
    return endpoint.base_url or f"${endpoint.base_url_variable} (not set)"


def _login(endpoint: EndpointConfig) -> str:
    auth = endpoint.auth
    if auth.kind == "env" and auth.variable:
        return f"${auth.variable}" + ("" if os.environ.get(auth.variable) else " (not set)")
    return auth.kind
