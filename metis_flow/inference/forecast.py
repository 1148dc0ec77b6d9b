"""What a plan will ask of an endpoint: calls, tokens, and the least time that its rates allow."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from metis_flow.inference.endpoints import EndpointConfig
from metis_flow.inference.estimates import FIRST_RATIO
from metis_flow.plan.items import ONLY, Item, items_of
from metis_flow.plan.plan import Plan, StepPlan, with_key
from metis_flow.workflow.definition import ChatDef, StepDef
from metis_flow.workflow.trees import Constant, Value, reads_only, templates

SAMPLE = 1000
"""Prompts that are rendered for one step; the rest are taken to be as long on average."""
_EXPRESSION = re.compile(r"\$\{[{%].*?[}%]\}", re.DOTALL)


@dataclass(frozen=True)
class StepForecast:
    """What one chat step will ask for.

    Attributes:
        calls: repairs left out; None where an earlier step decides.
        prompt_tokens: of all its calls, from the length of the prompts; only of what is known before the run.
        answer_tokens: at most, from ``max_tokens``; None where nothing bounds it.
        complete: whether the prompts are known whole, and not filled by earlier steps.
    """

    step: str
    calls: int | None
    prompt_tokens: int
    answer_tokens: int | None
    complete: bool


@dataclass(frozen=True)
class Forecast:
    """What a plan will ask for.

    Attributes:
        steps: the chat steps, in order.
        minutes: the least time that the endpoint's rates allow for the calls and prompts that are known; None where
            it has no rates.
        most_minutes: the same where every answer is as long as it may be; None where that is not bounded.
    """

    steps: tuple[StepForecast, ...]
    minutes: float | None
    most_minutes: float | None

    @property
    def calls(self) -> int:
        """Calls that are known."""
        return sum(step.calls or 0 for step in self.steps)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompts that are known."""
        return sum(step.prompt_tokens for step in self.steps)

    @property
    def answer_tokens(self) -> int | None:
        """Tokens of the answers, at most; None where nothing bounds them."""
        bounds = [step.answer_tokens for step in self.steps]
        return None if None in bounds else sum(bound or 0 for bound in bounds)

    @property
    def is_complete(self) -> bool:
        """Whether every call and prompt is known."""
        return all(step.calls is not None and step.complete for step in self.steps)


def forecast(plan: Plan, endpoint: EndpointConfig) -> Forecast:
    """What a run of a plan will ask of an endpoint."""
    steps = tuple(_forecast_step(plan, step) for step in plan.steps.values() if step.step.verb == "chat")
    known = Forecast(steps, None, None)
    least = _minutes(endpoint, known.calls, known.prompt_tokens)
    answers = known.answer_tokens
    most = None if answers is None else _minutes(endpoint, known.calls, known.prompt_tokens + answers)
    return Forecast(steps, least, most)


def _minutes(endpoint: EndpointConfig, calls: int, tokens: int) -> float | None:
    """The first window of tokens is free at once; each further one costs a minute."""
    rate, per_minute = endpoint.limits.requests_per_second, endpoint.limits.tokens_per_minute.least
    bounds = []
    if rate is not None:
        bounds.append(calls / rate / 60)
    if per_minute is not None:
        bounds.append(float(max(0, math.ceil(tokens / per_minute) - 1)))
    return max(bounds, default=None)


def _forecast_step(plan: Plan, step: StepPlan) -> StepForecast:
    body = step.step.body
    assert isinstance(body, ChatDef)
    calls = _count(plan, step)
    characters, complete = _prompt_characters(plan, step, body, calls)
    bound = _static(body.settings.get("max_tokens"), plan)
    answers = calls * bound if isinstance(bound, int) and calls is not None else None
    return StepForecast(step.step.name, calls, round(characters * FIRST_RATIO), answers, complete)


def _count(plan: Plan, step: StepPlan) -> int | None:
    """Instances; along a chain that goes item by item, as many as at its beginning."""
    if step.instances is None and step.step.upstream is not None:
        return _count(plan, plan.steps[step.step.upstream.step])
    return step.instances


def _prompt_characters(plan: Plan, step: StepPlan, body: ChatDef, calls: int | None) -> tuple[float, bool]:
    """Characters of all prompts, and whether nothing of them is still open."""
    contents = [content for _, content in body.messages]
    if any(not _is_static(content, step.step) for content in contents) or step.instances is None:
        fixed = sum(len(_fixed_text(content)) for content in contents)
        return float(fixed * (calls or 0)), False
    lengths = [
        sum(len(str(content.evaluate(scope))) for content in contents)
        for scope in islice(_scopes(plan, step.step), min(SAMPLE, step.instances))
    ]
    return (sum(lengths) / len(lengths) * step.instances if lengths else 0.0), True


def _scopes(plan: Plan, step: StepDef) -> Iterator[dict[str, Any]]:
    base: Mapping[str, Any] = {"params": plan.params}
    items: Iterator[Item] = iter([ONLY]) if step.foreach is None else items_of(step.foreach.evaluate(base), step.name)
    for item in items:
        named = with_key(step, item, base)
        yield {**base, step.item: named.value, "key": named.key}


def _is_static(value: Value, step: StepDef) -> bool:
    return reads_only(value, {"params", step.item, "key"})


def _fixed_text(value: Value) -> str:
    """What stands in a text whatever the run brings."""
    if isinstance(value, Constant):
        return str(value.value)
    return "".join(_EXPRESSION.sub("", template.source) for template in templates(value))


def _static(value: Value | None, plan: Plan) -> Any:
    if value is None or not reads_only(value, {"params"}):
        return None
    return value.evaluate({"params": plan.params})
