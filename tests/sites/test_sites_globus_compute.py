"""Globus Compute as far as it goes without the service: the real SDK's serialiser both ways, and an endpoint that is a
process of this machine."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import globus_compute_sdk
import pytest
from globus_compute_sdk import serialize
from globus_compute_sdk.serialize import ComputeSerializer

from metis_flow import Workflow
from metis_flow.engine.outcome import CallTask, Outcome
from metis_flow.errors import ConfigError
from metis_flow.sites.choice import Use
from metis_flow.sites.config import find_site
from metis_flow.sites.globus_compute import run_on_endpoint
from metis_flow.sites.parsl_config import parsl_config

ENDPOINT = "01234567-89ab-cdef-0123-456789abcdef"
USES = {"globus": Use(("a",), {})}

# What an endpoint does with a task, in a process that knows nothing of this one.
WORKER = """
import sys
from globus_compute_sdk.serialize import ComputeSerializer
serializer = ComputeSerializer()
function, arguments = (serializer.deserialize(part) for part in sys.stdin.read().split("====="))
print(serializer.serialize(function(*arguments)), end="")
"""


def at_an_endpoint(serializer: ComputeSerializer, function: Any, *arguments: Any) -> Any:
    """Send a task to a process that stands for an endpoint, and return what came back."""
    sent = serializer.serialize(function) + "=====" + serializer.serialize(arguments)
    command = [sys.executable, "-c", WORKER]
    done = subprocess.run(command, input=sent, capture_output=True, text=True, check=True, cwd="/")
    return serializer.deserialize(done.stdout)


def call(**changes: Any) -> CallTask:
    task = {"label": "a", "verb": "uses", "target": "count", "workflow_folder": "/nowhere"}
    return CallTask(**task | {"arguments": {"values": ["x", "x", "y"]}} | changes)


@pytest.mark.parametrize("strategy", ["DillCode", "DillCodeSource", "DillCodeTextInspect", "CombinedCode"])
def test_a_task_goes_there_and_its_outcome_comes_back_however_functions_are_sent(strategy: str) -> None:
    serializer = ComputeSerializer(strategy_code=getattr(serialize, strategy)())
    outcome = at_an_endpoint(serializer, run_on_endpoint, "call", call())
    assert isinstance(outcome, Outcome)
    assert (outcome.value, outcome.error) == ({"x": 2, "y": 1}, None)


def test_an_error_comes_back_whole() -> None:
    outcome = at_an_endpoint(ComputeSerializer(), run_on_endpoint, "call", call(arguments={"values": 1}))
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.where) == ("task", "a")


class LocalEndpoint(globus_compute_sdk.Executor):  # type: ignore[misc]
    """The SDK's executor with a process of this machine in the place of the service."""

    def __init__(self, endpoint_id: str, user_endpoint_config: dict[str, Any] | None) -> None:
        self.given = (endpoint_id, user_endpoint_config)
        self._resource_specification = None
        self._user_endpoint_config = user_endpoint_config

    def submit(self, fn: Any, *args: Any, **kwargs: Any) -> Future[Any]:
        assert not kwargs
        future: Future[Any] = Future()
        future.set_result(at_an_endpoint(ComputeSerializer(), fn, *args))
        return future

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        pass

    def _get_result_watcher(self) -> LocalEndpoint:
        return self


def test_a_run_sends_its_python_steps_to_the_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(globus_compute_sdk, "Executor", LocalEndpoint)
    site = tmp_path / "ours.yaml"
    site.write_text(
        "extends: globus-compute\nexecutors:\n"
        f"  globus: {{endpoint: {ENDPOINT}, user_endpoint_config: {{account: Moons, queue: debug}}}}\n"
    )
    flow = tmp_path / "flow.yaml"
    flow.write_text("version: 1\nname: flow\nsteps: {a: {uses: count, with: {values: [x, x, y]}}}\n")
    run = Workflow.load(flow).run(site=str(site), runs_dir=tmp_path / "runs")
    assert run.status == "done", run.state
    assert [row["output"] for row in run.rows("a")] == [{"x": 2, "y": 1}]
    (executor,) = parsl_config(find_site(str(site)), tmp_path, USES).executors
    assert executor.executor.given == (ENDPOINT, {"account": "Moons", "queue": "debug"})  # type: ignore[attr-defined]


def test_without_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "globus_compute_sdk", None)
    with pytest.raises(ConfigError) as caught:
        parsl_config(find_site("globus-compute"), tmp_path, USES)
    assert caught.value.summary == ("the site 'globus-compute' needs the Globus Compute SDK, which is not installed")
    assert caught.value.hint == "install it here: pip install 'metis-flow[globus-compute]'"


def test_without_an_endpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        parsl_config(find_site("globus-compute"), tmp_path, USES)
    assert caught.value.summary == (
        "the executor 'globus' of the site 'globus-compute' names no Globus Compute endpoint"
    )
    assert caught.value.hint == "say --set executors.globus.endpoint=UUID"
