"""What a plan will ask of an endpoint, as text and as JSON."""

from __future__ import annotations

from typing import Any, TextIO

from metis_flow.inference.forecast import Forecast, StepForecast
from metis_flow.units import format_count, format_duration
from metis_flow.views.tables import Column, print_table

_COLUMNS = (Column("chat step"), Column("calls"), Column("prompt tokens"), Column("answer tokens, at most"))


def print_forecast(forecast: Forecast, out: TextIO) -> None:
    """Calls and tokens of each chat step, and the least time."""
    out.write("\n")
    print_table(_COLUMNS, [_row(step) for step in forecast.steps], out)
    out.write("\n")
    if not forecast.is_complete:
        out.write("What earlier steps, tasks and further rounds decide is not counted: these are the least numbers.\n")
    if forecast.minutes is None:
        out.write("The endpoint has no rates: its speed decides.\n")
        return
    text = f"The rates of the endpoint allow it in {_time(forecast.minutes)} at the least"
    if forecast.most_minutes is not None:
        text += f", {_time(forecast.most_minutes)} if every answer is as long as it may be"
    out.write(text + ".\n")


def forecast_as_json(forecast: Forecast) -> dict[str, Any]:
    """The part of ``plan --json``."""
    return {
        "calls": forecast.calls,
        "prompt_tokens": forecast.prompt_tokens,
        "answer_tokens_at_most": forecast.answer_tokens,
        "complete": forecast.is_complete,
        "least_minutes": forecast.minutes,
        "most_minutes": forecast.most_minutes,
        "steps": [
            {
                "name": step.step,
                "calls": step.calls,
                "prompt_tokens": step.prompt_tokens,
                "answer_tokens_at_most": step.answer_tokens,
            }
            for step in forecast.steps
        ],
    }


def _row(step: StepForecast) -> tuple[object, ...]:
    calls = "not known before the run" if step.calls is None else format_count(step.calls)
    prompt = format_count(step.prompt_tokens)
    answers = "not bounded" if step.answer_tokens is None else format_count(step.answer_tokens)
    return step.step, calls, prompt if step.complete else f"{prompt} and more", answers


def _time(minutes: float) -> str:
    return format_duration(max(minutes * 60, 1))
