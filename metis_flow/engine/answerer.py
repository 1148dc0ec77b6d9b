"""Chooses the endpoint and the models of a run, before anything is started."""

from __future__ import annotations

from dataclasses import dataclass

from metis_flow.errors import ConfigError
from metis_flow.inference.embedded import MODEL
from metis_flow.inference.endpoints import EndpointConfig, find_endpoint, list_endpoints
from metis_flow.plan.plan import Plan
from metis_flow.workflow.definition import CallDef, ChatDef, StepDef
from metis_flow.workflow.trees import reads_only


@dataclass(frozen=True)
class Answerer:
    """Who answers the chat steps of a run.

    Attributes:
        default_model: the model of steps that name none; None where each names its own.
        forced_model: the one model that there is, whatever the steps name.
    """

    endpoint: EndpointConfig
    default_model: str | None
    forced_model: str | None


def choose(plan: Plan, endpoint: str | None) -> Answerer | None:
    """The endpoint of a run; None where no step needs one.

    Args:
        endpoint: what the user asked for, else the workflow's own is taken.

    Raises:
        ConfigError: none is named, or it is not there, or no model is named anywhere.
    """
    if not plan.has_chat:
        return None
    name = endpoint or plan.workflow.endpoint
    folder = plan.workflow.folder
    if name is None:
        names = ", ".join(known.name for known in list_endpoints(beside=folder))
        hint = f"choose one: --endpoint NAME, or 'endpoint: NAME' in the file; there are: {names}"
        raise ConfigError(
            "the workflow has chat steps, and no endpoint is named", where=str(plan.workflow.path), hint=hint
        )
    config = find_endpoint(name, beside=folder)
    forced = MODEL if config.kind == "embedded" else None
    answerer = Answerer(config, config.model, forced)
    if forced is None and answerer.default_model is None:
        _require_models(plan, config)
    return answerer


def step_models(plan: Plan, answerer: Answerer) -> dict[str, str | None]:
    """The model of each step that asks one; None where an expression over the run decides."""
    return {
        name: answerer.forced_model or _static_model(plan, name, step) or answerer.default_model
        for name, step in plan.asking.items()
    }


def remarks(plan: Plan, answerer: Answerer) -> list[str]:
    """What the user should know about who answers."""
    named = {_static_model(plan, name, step) for name, step in plan.asking.items()}
    others = sorted(name for name in named if name is not None and name != answerer.forced_model)
    if answerer.forced_model is None or not others:
        return []
    model = answerer.forced_model
    return [f"the endpoint '{answerer.endpoint.name}' has one model: {model} answers for {', '.join(others)}"]


def _static_model(plan: Plan, name: str, step: StepDef) -> str | None:
    model = step.body.model if isinstance(step.body, ChatDef | CallDef) else None
    if model is None or not reads_only(model, _known(name)):
        return None
    value = model.evaluate({"params": plan.params})
    return value if isinstance(value, str) else None


def _known(name: str) -> frozenset[str]:
    """What is known before the run of what a step's expressions read; a called workflow has parameters of its own."""
    return frozenset() if "." in name else frozenset({"params"})


def _require_models(plan: Plan, endpoint: EndpointConfig) -> None:
    for name, step in plan.asking.items():
        model = step.body.model if isinstance(step.body, ChatDef | CallDef) else None
        if model is None or (reads_only(model, _known(name)) and not model.evaluate({"params": plan.params})):
            hint = "add 'model: NAME' to the workflow; 'metis-flow models' lists them"
            raise ConfigError(
                f"no model is named, and the endpoint '{endpoint.name}' has no default", where=name, hint=hint
            )
