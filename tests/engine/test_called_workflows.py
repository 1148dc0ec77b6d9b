"""``workflow: FILE``: a run inside the run, with its own record, the same endpoint and the same limits."""

from __future__ import annotations

from pathlib import Path

from engine_kit import HEADER, Bench, entries, error_of, statuses

from metis_flow.api import Run
from metis_flow.record.folder import RunFolder
from metis_flow.testing import Reply

CHILD = """
params: {word: {type: string}}
steps:
  ask: {chat: {user: "Say ${{ params.word }}", temperature: 0}}
  count: {args: ["${{ steps.ask.output }}"], run: "echo ${#1}"}
outputs: {said: "${{ steps.ask.output }}", length: "${{ steps.count.output }}"}
"""
PARENT = """
    steps:
      each:
        foreach: [iron, zinc, gold]
        key: ${{ item }}
        workflow: child.yaml
        with: {word: "${{ item }}"}
    outputs: {all: "${{ steps.each.outputs }}"}
"""


def inside(run: Run, step: str, key: str) -> Run:
    """The run inside a run."""
    entry = next(e for e in entries(run) if e.get("step") == step and e.get("key") == key and "folder" in e)
    return Run(RunFolder(Path(run.folder.path, entry["folder"])))


def test_each_item_runs_the_workflow_and_has_its_outputs(chat_bench: Bench) -> None:
    chat_bench.write("child.yaml", HEADER.replace("trial", "child") + CHILD)
    run = chat_bench.run(PARENT)
    assert run.status == "done", error_of(run, "each", "iron")
    assert run.outputs["all"][0] == {"said": "Say iron", "length": "8"}
    assert run.state.calls == 3
    child = inside(run, "each", "zinc")
    assert (child.status, child.outputs["said"]) == ("done", "Say zinc")
    assert child.state.calls == 1


def test_a_failure_inside_is_the_instance_s(chat_bench: Bench) -> None:
    chat_bench.write("child.yaml", HEADER.replace("trial", "child") + CHILD.replace("echo ${#1}", "exit 3"))
    run = chat_bench.run(PARENT)
    assert set(statuses(run, "each").values()) == {"failed"}
    assert error_of(run, "each", "iron")["summary"] == "the workflow 'child' failed: count"


def test_a_resume_goes_on_inside(chat_bench: Bench) -> None:
    slow = CHILD.replace("echo ${#1}", "sleep 0.2; echo ${#1}")
    chat_bench.write("child.yaml", HEADER.replace("trial", "child") + slow)
    chat_bench.answers.rule = lambda body, n: Reply(f"answer {n}", latency=0.2)
    run = chat_bench.run("limits: {calls: 2}\n" + PARENT.replace("\n    ", "\n"))
    assert (run.status, run.state.exit_code) == ("stopped", 4)
    path = chat_bench.folder / "trial.yaml"
    path.write_text(path.read_text().replace("calls: 2", "calls: 9"))
    run.resume(accept=True)
    assert run.status == "done"
    assert chat_bench.gateway is not None
    assert chat_bench.gateway.counts.answered == 3
    assert len({row["output"]["said"] for row in run.rows("each")}) == 3
