"""Helpers for tests: answers for a workflow under test, and a Metis gateway to run locally, with a Globus Auth.

>>> from metis_flow.testing import answers
>>> with answers({"capital of France": "Paris"}) as model:
...     outputs = model.run("capitals.yaml").outputs

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
    from metis_flow.testing.given_answers import Answers, Asked, NoAnswer, answers
    from metis_flow.testing.recorded_answers import Recorded, recorded

_HOMES = {
    "Answers": "given_answers",
    "Asked": "given_answers",
    "Call": "gateway.ledger",
    "Counts": "gateway.ledger",
    "Faults": "gateway.faults",
    "Gateway": "gateway.server",
    "GatewayProcess": "gateway.process",
    "Limits": "gateway.options",
    "Model": "gateway.options",
    "NoAnswer": "given_answers",
    "Options": "gateway.options",
    "Person": "gateway.options",
    "Recorded": "recorded_answers",
    "Reply": "gateway.replies",
    "Spell": "gateway.faults",
    "answers": "given_answers",
    "recorded": "recorded_answers",
    "request_hash": "gateway.ledger",
    "serve": "gateway.server",
}

__all__ = [
    "Answers",
    "Asked",
    "Call",
    "Counts",
    "Faults",
    "Gateway",
    "GatewayProcess",
    "Limits",
    "Model",
    "NoAnswer",
    "Options",
    "Person",
    "Recorded",
    "Reply",
    "Spell",
    "answers",
    "recorded",
    "request_hash",
    "serve",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
