"""When more than one process sends a run's calls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metis_flow.engine.load import BYTES_A_PROCESS, Load, calls_left, processes_for
from metis_flow.engine.progress import Progress, StepProgress
from metis_flow.inference.endpoints import EndpointConfig

BUSY = Load(cores=4, memory=10**10, busy=0.95, seconds_left=60.0)


def endpoint(**fields: Any) -> EndpointConfig:
    data = {"name": "near", "source": Path("near.yaml"), "kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
    return EndpointConfig.model_validate(data | fields)


@pytest.mark.parametrize(
    ("changes", "processes"),
    [
        ({}, 3),
        ({"cores": 64}, 4),
        ({"cores": 3}, 2),
        ({"cores": 2}, 1),
        ({"cores": 1}, 1),
        ({"memory": 2 * BYTES_A_PROCESS}, 2),
        ({"memory": BYTES_A_PROCESS // 2}, 1),
        ({"busy": 0.9}, 3),
        ({"busy": 0.89}, 1),
        ({"seconds_left": 20.0}, 3),
        ({"seconds_left": 19.9}, 1),
    ],
)
def test_a_busy_driver_with_much_to_do_and_cores_to_spare_takes_processes(
    changes: dict[str, Any], processes: int
) -> None:
    assert processes_for(endpoint(), replace(BUSY, **changes)) == processes


@pytest.mark.parametrize(
    ("fields", "processes"),
    [
        ({"auth": {"kind": "file", "path": "token"}}, 3),
        ({"auth": {"kind": "env", "variable": "KEY"}}, 1),
        ({"auth": {"kind": "command", "command": "print-token"}}, 1),
        ({"limits": {"requests_per_second": 10.0}}, 1),
        ({"limits": {"tokens_per_minute": 60_000}}, 1),
        ({"limits": {"concurrency": 1000}}, 3),
    ],
)
def test_only_endpoints_without_rates_that_others_can_ask_are_asked_by_others(
    fields: dict[str, Any], processes: int
) -> None:
    assert processes_for(endpoint(**fields), BUSY) == processes


def test_calls_that_are_left_are_those_of_chat_steps_whose_number_is_known() -> None:
    steps = [
        StepProgress("a", "chat", total=100, done=20, failed=5),
        StepProgress("b", "run", total=100),
        StepProgress("c", "chat"),
    ]
    assert calls_left(Progress("run", {step.name: step for step in steps})) == 75


@pytest.mark.parametrize("value", [0, -1, "many", True, 1.5])
def test_processes_are_auto_or_a_number(value: Any) -> None:
    with pytest.raises(ValueError, match="should be 'auto' or a whole number above 0"):
        endpoint(limits={"processes": value})
