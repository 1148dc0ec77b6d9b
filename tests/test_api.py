"""The Python face: a workflow is loaded, planned and run as by the command."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metis_flow import Workflow
from metis_flow.api import Run
from metis_flow.errors import ConfigError, ParameterError, RecordError, WorkflowInvalid
from metis_flow.testing import Gateway

TEXT = """\
version: 1
name: face
model: gpt-oss-120b
params: {n: {type: integer, default: 2, maximum: 5}}
steps:
  ask: {foreach: "${{ range(params.n) }}", chat: "item ${{ item }}"}
  count: {uses: count, with: {values: "${{ steps.ask.outputs }}"}}
  odd: {foreach: "${{ steps.ask.results }}", if: "item.key != '0'", run: "exit 3", on_error: continue}
outputs: {said: "${{ steps.ask.outputs }}"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the workflow `face.yaml`."""
    (tmp_path / "face.yaml").write_text(TEXT)
    return tmp_path


def test_a_workflow_runs_from_python(folder: Path) -> None:
    with Gateway(lambda body, n: body["messages"][-1]["content"], limits=None) as gateway:
        endpoint = gateway.write_endpoint(folder, "local", limits={})
        workflow = Workflow.load(folder / "face.yaml")
        run = workflow.run({"n": 3}, endpoint=str(endpoint), runs_dir=folder / "runs")
    assert workflow.name == "face"
    assert repr(workflow) == "<Workflow face: ask, count, odd>"
    assert run.outputs == {"said": ["item 0", "item 1", "item 2"]}
    assert run.status == "failed"
    assert repr(run) == f"<Run {run.id}: failed>"
    assert list(run.rows("ask")) == [
        {"key": str(n), "status": "done", "output": f"item {n}", "error": None} for n in range(3)
    ]
    assert sorted(run.rows("odd"), key=lambda row: str(row["key"])) == [
        {"key": "0", "status": "skipped", "output": None, "error": "its 'if' is false"},
        {"key": "1", "status": "failed", "output": None, "error": "the script ended with exit code 3"},
        {"key": "2", "status": "failed", "output": None, "error": "the script ended with exit code 3"},
    ]
    again = Run.open("last", folder / "runs")
    assert (again.id, again.outputs) == (run.id, run.outputs)
    assert Run.open(run.id[:-2], str(folder / "runs")).id == run.id


def test_rows_come_in_the_order_of_items(tmp_path: Path) -> None:
    (tmp_path / "rows.yaml").write_text(
        "version: 1\nname: rows\nsteps: {a: {foreach: [0.5, 0, 0.3, 0], args: ['${{ item }}'], run: 'sleep $1'}}\n"
    )
    run = Workflow.load(tmp_path / "rows.yaml").run(runs_dir=tmp_path / "runs")
    assert [row["key"] for row in run.rows("a")] == ["0", "1", "2", "3"]


def test_a_plan_starts_nothing(folder: Path) -> None:
    plan = Workflow.load(folder / "face.yaml").plan({"n": 4}, limit=3)
    assert list(plan.steps) == ["ask", "count", "odd"]
    assert plan.steps["ask"].instances == 3
    assert sorted(path.name for path in folder.iterdir()) == ["face.yaml"]


def test_mistakes_are_raised_before_anything_is_made(folder: Path) -> None:
    (folder / "wrong.yaml").write_text(TEXT.replace("steps.ask.outputs", "steps.aks.outputs"))
    with pytest.raises(WorkflowInvalid, match="there is no step 'aks'"):
        Workflow.load(folder / "wrong.yaml")
    with pytest.raises(ParameterError, match="'n' is 9, and should be at most 5"):
        Workflow.load(folder / "face.yaml").run({"n": 9}, endpoint="embedded", runs_dir=folder / "runs")
    with pytest.raises(RecordError, match="there is no run in"):
        Run.open("last", folder / "runs")
    assert not (folder / "runs").exists()


def test_a_workflow_runs_where_an_event_loop_is_running(tmp_path: Path) -> None:
    """As in a notebook, whose cells run inside a loop."""
    (tmp_path / "cell.yaml").write_text(
        "version: 1\nname: cell\nmodel: gpt-oss-120b\nendpoint: local\nsteps: {a: {chat: hi}, b: {run: echo b}}\n"
        "outputs: {a: '${{ steps.a.output }}', b: '${{ steps.b.output }}'}\n"
    )

    async def cell() -> Run:
        return Workflow.load(tmp_path / "cell.yaml").run(runs_dir=tmp_path / "runs")

    with Gateway(lambda body, n: "hello", limits=None) as gateway:
        gateway.write_endpoint(tmp_path, "local", limits={})
        assert asyncio.run(cell()).outputs == {"a": "hello", "b": "b"}


def test_progress_is_given_at_the_start(tmp_path: Path) -> None:
    from metis_flow.engine.progress import Progress

    (tmp_path / "p.yaml").write_text("version: 1\nname: p\nsteps: {a: {foreach: [1, 2, 3], run: 'true'}}\n")
    seen: list[Progress] = []
    Workflow.load(tmp_path / "p.yaml").run(runs_dir=tmp_path / "runs", on_start=seen.append)
    (progress,) = seen
    assert progress.finished
    step = progress.steps["a"]
    assert (step.total, step.done, step.running, step.status) == (3, 3, 0, "done")


def test_the_import_is_cheap() -> None:
    code = "import sys, metis_flow; metis_flow.Workflow; print(sorted({'parsl', 'openai', 'rich'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "[]"


SLOW = """
version: 1
name: slow
steps:
  one: {foreach: "${{ range(4) }}", args: ["${{ item }}"], run: "sleep 0.1; echo $1"}
  bad: {run: exit 3, on_error: continue, needs: one}
"""


def test_rows_stream_in_while_a_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "slow.yaml"
    path.write_text(SLOW)
    run = Workflow.load(path).start(runs_dir=tmp_path / "runs")

    async def rows() -> list[dict[str, Any]]:
        return [row async for row in run.stream()]

    found = asyncio.run(rows())
    assert sorted(row["output"] for row in found if row["step"] == "one") == ["0", "1", "2", "3"]
    assert found[-1]["error"] == "the script ended with exit code 3"
    assert run.wait().status == "failed"


def test_a_run_that_cannot_begin_says_so_at_once(tmp_path: Path) -> None:
    path = tmp_path / "slow.yaml"
    path.write_text(SLOW)
    with pytest.raises(ConfigError):
        Workflow.load(path).start(runs_dir=tmp_path / "runs", site="nowhere")
