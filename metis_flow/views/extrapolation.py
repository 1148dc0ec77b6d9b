"""What a run over all items would take, from one over the first few (``--limit``)."""

from __future__ import annotations

from metis_flow.engine.progress import Progress
from metis_flow.plan.plan import Plan
from metis_flow.units import format_count


def extrapolation(plan: Plan, progress: Progress) -> str | None:
    """One line about all items; None where nothing was cut, or nothing asked."""
    seen = whole = 0.0
    asking = {name.partition(".")[0] for name in plan.asking}  # a workflow that is called asks as well
    for name, step in progress.steps.items():
        if name in asking:
            asked = step.done + step.failed
            seen += asked
            whole += asked * _factor(plan, progress, name)
    if whole <= seen or not progress.calls:
        return None
    calls = round(progress.calls * whole / seen)
    tokens = round(progress.usage.total_tokens * whole / seen)
    return f"without --limit: about {format_count(calls)} calls and {format_count(tokens)} tokens"


def _factor(plan: Plan, progress: Progress, name: str) -> float:
    """How many times more items a step has without the limit; what follows a step item by item grows with it."""
    step = progress.steps[name]
    if step.uncut is not None and step.total:
        return step.uncut / step.total
    upstream = plan.steps[name].step.upstream
    return 1.0 if upstream is None else _factor(plan, progress, upstream.step)
