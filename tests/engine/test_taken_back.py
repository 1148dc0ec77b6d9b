"""App calls that nobody waits for any more: they are ended, or not begun."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from parsl.executors.high_throughput.errors import WorkerLost

from metis_flow.engine.apps import ParslApps
from metis_flow.engine.outcome import CallTask, ShellTask
from metis_flow.plan.plan import make_plan
from metis_flow.sites.config import find_site
from metis_flow.workflow.load import load_workflow
from metis_flow.workflow.outputs import OutputSpec


@contextmanager
def apps_of(folder: Path, site: str) -> Iterator[ParslApps]:
    """Parsl, started for a workflow of scripts."""
    path = folder / "flow.yaml"
    path.write_text("version: 1\nname: flow\nsteps: {a: {run: ls}}\n")
    run_dir = folder / "run" / "parsl"
    run_dir.mkdir(parents=True)
    apps = ParslApps(make_plan(load_workflow(path)), find_site(site), run_dir, concurrency=1)
    try:
        yield apps
    finally:
        apps.close()


def script(folder: Path, name: str, text: str) -> ShellTask:
    """A script as the payload of an app."""
    nothing: dict[str, Any] = {"env": {}, "args": (), "stdin": None, "links": (), "contents": (), "secrets": ()}
    run = folder / "run"
    place = run / "steps" / name
    output = OutputSpec("stdout")
    return ShellTask(name, str(run), str(place), text, output=output, timeout=None, **nothing)


def wait_for(path: Path) -> None:
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until, f"{path} does not appear"
        time.sleep(0.02)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("site", ["local", "local-processes"])
def test_a_script_is_ended(tmp_path: Path, site: str) -> None:
    task = script(tmp_path, "a", f"touch {tmp_path}/there; sleep 600\n")
    with apps_of(tmp_path, site) as apps:
        future = apps.submit("work", task)
        wait_for(tmp_path / "there")
        apps.end(task)
        error = future.result(timeout=30).error
    assert error is not None
    assert error.summary.startswith("the script ended with signal 9")


@pytest.mark.timeout(60)
def test_a_function_ends_with_its_worker_process(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        "import pathlib, time\n\n\ndef wait(there):\n    pathlib.Path(there).touch()\n    time.sleep(600)\n"
    )
    arguments = {"there": str(tmp_path / "there")}
    task = CallTask("a", "python", "work:wait", str(tmp_path), arguments)
    with apps_of(tmp_path, "local-processes") as apps:
        future = apps.submit("work", task)
        wait_for(tmp_path / "there")
        apps.end(task)
        assert isinstance(future.exception(timeout=30), WorkerLost)


@pytest.mark.timeout(60)
def test_a_script_that_has_not_begun_never_does(tmp_path: Path) -> None:
    site = tmp_path / "one.yaml"
    site.write_text("executors: {one: {kind: threads, workers: 1}}\n")
    first = script(tmp_path, "a", f"touch {tmp_path}/there; until [ -e {tmp_path}/go ]; do sleep 0.05; done\n")
    second = script(tmp_path, "b", f"touch {tmp_path}/ran\n")
    with apps_of(tmp_path, str(site)) as apps:
        futures = [apps.submit("one", first), apps.submit("one", second)]
        wait_for(tmp_path / "there")
        apps.end(second)
        (tmp_path / "go").touch()
        outcomes = [future.result(timeout=30) for future in futures]
    assert outcomes[0].error is None
    assert outcomes[1].error is not None
    assert outcomes[1].error.summary == "it was taken back"
    assert not (tmp_path / "ran").exists()
