"""Why a step does not go on, in words for those who watch."""

from __future__ import annotations

from collections.abc import Mapping

from metis_flow.engine.steprun import StepRun
from metis_flow.inference.limiter import LimiterSnapshot
from metis_flow.plan.graph import Graph
from metis_flow.units import format_duration


def why_it_waits(
    step: StepRun, graph: Graph, steps: Mapping[str, StepRun], limiter: LimiterSnapshot | None
) -> str | None:
    """What a step waits for; None where it goes on, or has ended."""
    if step.is_closed:
        return None
    if step.status == "waiting":
        return ", ".join(edge.source for edge in graph.into(step.name) if not steps[edge.source].is_closed) or None
    if step.held:
        seconds = format_duration(step.expected_seconds or 0)
        return f"too little time is left for another instance, which takes {seconds}"
    if step.progress.retrying:
        return f"{step.progress.retrying} to be tried again after {format_duration(step.definition.retry.wait)}"
    if step.definition.asks_model and step.progress.running and limiter is not None:
        return limiter.waiting_why
    if not step.in_flight and not step.backlog and step.items is None and step.definition.upstream is not None:
        return step.definition.upstream.step
    return None
