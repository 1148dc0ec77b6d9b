"""What a plan will ask of an endpoint: calls, tokens, and the least time that its rates allow."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from metis_flow.inference.endpoints import EndpointConfig
from metis_flow.inference.estimates import FIRST_RATIO
from metis_flow.plan.combinations import combinations_of
from metis_flow.plan.plan import Plan, StepPlan, items_of_step, with_key
from metis_flow.workflow.definition import ChatDef, StepDef
from metis_flow.workflow.trees import Constant, Value, reads_only, templates

SAMPLE = 1000
"""Prompts that are rendered for one step; the rest are taken to be as long on average."""
_EXPRESSION = re.compile(r"\$\{[{%].*?[}%]\}", re.DOTALL)


@dataclass(frozen=True)
class StepForecast:
    """What one step will ask for.

    Attributes:
        calls: repairs and further rounds of ``until`` left out; None where an earlier step, a task or another
            workflow decides.
        prompt_tokens: of these calls, from the length of the prompts; only of what is known before the run.
        answer_tokens: at most, from ``max_tokens`` and ``max_rounds``; None where nothing bounds it.
        complete: whether the calls and their prompts are known whole, and not decided by earlier steps or rounds.
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
        steps: those that ask, in the order of the file; a step of a workflow that it calls as ``step.their_step``.
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
    steps = tuple(_forecast_step(plan, name) for name in plan.asking)
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


def _forecast_step(plan: Plan, name: str) -> StepForecast:
    body = plan.asking[name].body
    if name not in plan.steps or not isinstance(body, ChatDef):
        # how often a task asks is its own affair, and a workflow that is called has its parameters only in the run
        return StepForecast(name, None, 0, None, complete=False)
    step = plan.steps[name]
    calls = _count(plan, step)
    characters, complete = _prompt_characters(plan, step, body, calls)
    bound = _static(body.settings.get("max_tokens"), plan)
    answers = calls * step.step.max_rounds * bound if isinstance(bound, int) and calls is not None else None
    return StepForecast(name, calls, round(characters * FIRST_RATIO), answers, complete)


def _count(plan: Plan, step: StepPlan) -> int | None:
    """Instances; along a chain that goes item by item, what the matrix and the repeats make of those above."""
    if step.instances is not None or step.step.upstream is None:
        return step.instances
    above = _count(plan, plan.steps[step.step.upstream.step])
    others = (value for value in step.step.spreads() if value is not step.step.foreach)
    if above is None or not all(reads_only(value, {"params"}) for value in others):
        return None
    size = combinations_of(step.step, {"params": plan.params}).size
    return None if size is None else above * size


def _prompt_characters(plan: Plan, step: StepPlan, body: ChatDef, calls: int | None) -> tuple[float, bool]:
    """Characters of all prompts, and whether nothing of them is still open."""
    contents = [content for _, content in body.messages]
    if step.instances is None or not _is_static(step.step, contents):
        fixed = sum(len(_fixed_text(content)) for content in contents)
        return float(fixed * (calls or 0)), False
    lengths = [
        sum(len(str(content)) for _, content in body.conversation(scope))
        for scope in islice(_scopes(plan, step.step), min(SAMPLE, step.instances))
    ]
    # Each further round of 'until' asks the same again.
    return (sum(lengths) / len(lengths) * step.instances if lengths else 0.0), step.step.until is None


def _scopes(plan: Plan, step: StepDef) -> Iterator[dict[str, Any]]:
    base = {"params": plan.params}
    items, _ = items_of_step(step, base)
    for item in items:
        named = with_key(step, item, base)
        own = {} if step.foreach is None else {step.item: named.value}
        yield {**base, **named.names, "key": named.key, **own}


def _is_static(step: StepDef, contents: list[Value]) -> bool:
    """Whether the prompts of a step, and its key, are known before the run."""
    names = {"params", step.item, "key", "matrix", "repeat"}
    return all(reads_only(value, names) for value in (*contents, *([step.key] if step.key is not None else [])))


def _fixed_text(value: Value) -> str:
    """What stands in a text whatever the run brings."""
    if isinstance(value, Constant):
        return str(value.value)
    return "".join(_EXPRESSION.sub("", template.source) for template in templates(value))


def _static(value: Value | None, plan: Plan) -> Any:
    if value is None or not reads_only(value, {"params"}):
        return None
    return value.evaluate({"params": plan.params})
