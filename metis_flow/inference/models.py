"""The models of an endpoint: which there are, which of them are live, and whether a run may begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from metis_flow.errors import ConfigError, did_you_mean
from metis_flow.inference.client import Inference
from metis_flow.inference.clock import sleep
from metis_flow.inference.errors import Refused
from metis_flow.inference.refusals import SUPPORT

LIVE = "Live"
MAINTENANCE = "Maintenance"
COMING = ("Starting", "Queued")
LOOK_EVERY = 60.0  # seconds; the gateway itself looks no more often

Wait = Literal["coming", "any"]


@dataclass(frozen=True)
class ModelInfo:
    """One model.

    Args:
        name: its exact id.
        status: Live, Starting (a node is had, it is loading), Queued (waiting for resources), Offline (not loaded),
            Stopped, or Maintenance; None where the endpoint does not tell.
        context: tokens of its context, where told.
        tokens_per_minute_user, tokens_per_minute_model: the gateway's limits, where told.
        description: what the status page says of it.
    """

    name: str
    status: str | None = None
    context: int | None = None
    tokens_per_minute_user: int | None = None
    tokens_per_minute_model: int | None = None
    description: str = ""

    @property
    def tokens_per_minute(self) -> int | None:
        """The limit that binds."""
        told = (self.tokens_per_minute_user, self.tokens_per_minute_model)
        return min((limit for limit in told if limit), default=None)


async def list_models(inference: Inference) -> list[ModelInfo]:
    """The models of an endpoint, in its own order; [] where it does not tell.

    Raises:
        CallFailed, LoginRequired: a gateway could not be asked.
    """
    endpoint = inference.endpoint
    if endpoint.gateway is None:
        return await _plain_models(inference)
    base = f"{endpoint.gateway.rstrip('/')}/{endpoint.cluster}"
    listed = await inference.fetch(f"{base}/models")
    status = read_status(await inference.fetch(f"{base}/jobs"))
    return [_model(entry, status) for entry in listed if isinstance(entry, dict) and entry.get("id")]


def read_status(jobs: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Status and description of each model on a gateway's status page."""
    maintenance = not jobs.get("cluster_status")
    found: dict[str, tuple[str, str]] = {}
    for bucket in ("running", "queued", "stopped", "others"):
        for entry in jobs.get(bucket) or ():
            word = MAINTENANCE if maintenance else _word(str(entry.get("Model Status") or ""))
            for name in str(entry.get("Models") or "").split(","):
                found[name.strip()] = (word, str(entry.get("Description") or ""))
    return found


async def whoami(inference: Inference) -> dict[str, Any]:
    """Who the gateway takes the token's owner for; {} where the endpoint has no gateway.

    Raises:
        CallFailed, LoginRequired: it could not be asked.
    """
    gateway = inference.endpoint.gateway
    found = await inference.fetch(f"{gateway.rstrip('/')}/whoami") if gateway else {}
    return found if isinstance(found, dict) else {}


async def check_models(
    inference: Inference,
    names: Iterable[str],
    *,
    wait: Wait | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[ModelInfo]:
    """See before the first call that a run's models are there and live; take up the limits that the gateway tells.

    Args:
        inference: an open client.
        names: the models that the run asks.
        wait: `coming` waits for a model that is Starting or Queued; `any` for one that is Offline or Stopped too.
        progress: told what is waited for.

    Returns:
        The models of the run; [] where the endpoint does not tell which it has.

    Raises:
        ConfigError: a model is unknown, or not live and not to be waited for.
        CallFailed, LoginRequired: the gateway could not be asked.
    """
    wanted = list(dict.fromkeys(names))
    while True:
        known = await list_models(inference)
        if not known:
            return []
        found = {name: _find(inference, name, known) for name in wanted}
        waiting = [model for model in found.values() if model.status not in (None, LIVE)]
        for model in waiting:
            if not _worth_waiting(model, wait):
                raise _not_live(model, known, wait)
        if not waiting:
            _take_up_limits(inference, found)
            return list(found.values())
        if progress is not None:
            progress("waiting for " + ", ".join(f"{model.name} ({model.status})" for model in waiting))
        await sleep(inference.clock, LOOK_EVERY)


def _take_up_limits(inference: Inference, found: Mapping[str, ModelInfo]) -> None:
    for name, model in found.items():
        if model.tokens_per_minute is not None:
            inference.set_tokens_per_minute(name, model.tokens_per_minute)


def _find(inference: Inference, name: str, known: list[ModelInfo]) -> ModelInfo:
    """The model that a name means; the gateway pays no heed to case and spaces."""
    for model in known:
        if _plain(model.name) == _plain(name):
            return model
    raise ConfigError(
        f"the endpoint '{inference.endpoint.name}' has no model '{name}'",
        hint=did_you_mean(name, [model.name for model in known]) or "see which there are: metis-flow models",
    )


def _worth_waiting(model: ModelInfo, wait: Wait | None) -> bool:
    return wait == "any" or (wait == "coming" and model.status in COMING)


def _not_live(model: ModelInfo, known: list[ModelInfo], wait: Wait | None) -> ConfigError:
    live = [other.name for other in known if other.status == LIVE]
    detail = f"live now: {', '.join(live)}" if live else "no model is live now"
    if model.status == MAINTENANCE:
        return ConfigError(
            f"the model '{model.name}' cannot be asked: the cluster is under maintenance",
            hint="see https://metis.alcf.anl.gov/status; --wait any waits for its end",
        )
    if model.status in COMING:
        return ConfigError(
            f"the model '{model.name}' is {model.status}, not yet Live", hint="wait for it: --wait", detail=detail
        )
    return ConfigError(
        f"the model '{model.name}' is {model.status}, and a call does not start it",
        hint=f"choose a live one, ask {SUPPORT} to start it, or wait until somebody does: --wait any",
        detail=detail,
    )


async def _plain_models(inference: Inference) -> list[ModelInfo]:
    """The models of an OpenAI-compatible server, or those that the endpoint's file lists."""
    try:
        listed = await inference.fetch(f"{inference.address}/models")
    except Refused:
        listed = {}
    entries = listed.get("data") if isinstance(listed, dict) else listed
    names = [str(entry["id"]) for entry in entries or () if isinstance(entry, dict) and entry.get("id")]
    return [ModelInfo(name) for name in names or inference.endpoint.models]


def _model(entry: Mapping[str, Any], status: Mapping[str, tuple[str, str]]) -> ModelInfo:
    capabilities = entry.get("capabilities") or {}
    word, description = status.get(str(entry["id"]), ("Offline", ""))
    return ModelInfo(
        name=str(entry["id"]),
        status=word,
        context=capabilities.get("context_window_tokens"),
        tokens_per_minute_user=entry.get("rate_limit_token_per_minute_per_user"),
        tokens_per_minute_model=entry.get("rate_limit_token_per_minute"),
        description=description,
    )


def _word(status: str) -> str:
    """ALCF's word for a status of the gateway."""
    return LIVE if status == "running" else status.capitalize() or "Offline"


def _plain(name: str) -> str:
    return "".join(name.split()).lower()
