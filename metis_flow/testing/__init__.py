"""Helpers for tests: a Metis gateway to run locally, with a Globus Auth beside it.

>>> from metis_flow.testing import Gateway
>>> with Gateway(rule=lambda body, n: "4") as gateway:
...     url, token = gateway.openai_url, gateway.token

Everything here is loaded on first use, so that the import costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metis_flow.testing.gateway.faults import Faults, Spell
    from metis_flow.testing.gateway.ledger import Call, Counts, request_hash
    from metis_flow.testing.gateway.options import Limits, Model, Options, Person
    from metis_flow.testing.gateway.process import GatewayProcess
    from metis_flow.testing.gateway.replies import Reply
    from metis_flow.testing.gateway.server import Gateway, serve

_HOMES = {
    "Call": "ledger",
    "Counts": "ledger",
    "Faults": "faults",
    "Gateway": "server",
    "GatewayProcess": "process",
    "Limits": "options",
    "Model": "options",
    "Options": "options",
    "Person": "options",
    "Reply": "replies",
    "Spell": "faults",
    "request_hash": "ledger",
    "serve": "server",
}

__all__ = [
    "Call",
    "Counts",
    "Faults",
    "Gateway",
    "GatewayProcess",
    "Limits",
    "Model",
    "Options",
    "Person",
    "Reply",
    "Spell",
    "request_hash",
    "serve",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.gateway.{home}"), name)
