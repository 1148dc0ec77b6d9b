"""What a run leaves behind: lock, sources, journal, outputs, and nothing of Parsl."""

from __future__ import annotations

import hashlib
import json
import stat

import pytest
from engine_kit import HEADER, MODEL, Bench, entries

from metis_flow.errors import MetisFlowError
from metis_flow.record.lockfile import read_lock
from metis_flow.record.state import RunState

WORKFLOW = """\
params: {n: {type: integer, default: 2}, t: {type: number, default: 0.5}}
steps:
  ask:
    foreach: ${{ range(params.n) }}
    chat: {user: {from: prompts/x.md}, temperature: "${{ params.t }}", seed: 11}
  call: {python: "work:call", with: {xs: "${{ steps.ask.outputs }}"}}
  script: {stdin: "${{ steps.call.output }}", run: "cat; echo e >&2", output: {json: stdout}}
  off: {if: "false", run: "true"}
outputs: {all: "${{ steps.script.output }}", off: "${{ steps.off.output }}"}
"""


@pytest.fixture
def recorded(chat_bench: Bench) -> Bench:
    chat_bench.write("prompts/x.md", "Say ${{ item }}\n")
    chat_bench.write("work.py", "import helper\n\ndef call(xs):\n    return helper.same(xs)\n")
    chat_bench.write("helper.py", "def same(xs):\n    return xs\n")
    return chat_bench


def test_the_lock_tells_what_the_run_was_started_with(recorded: Bench) -> None:
    run = recorded.run(WORKFLOW, {"n": 1})
    lock = read_lock(run.folder)
    assert lock.run == run.id
    assert lock.workflow == str(recorded.folder / "trial.yaml")
    assert lock.parameters == {"n": 1, "t": 0.5}
    assert lock.models == {"ask": {"name": MODEL, "temperature": 0.5, "seed": 11}}
    assert lock.seeds == {"ask": 11}
    assert (lock.endpoint, lock.site) == ("local", "local")
    assert set(lock.tasks) == {"call"}
    assert lock.options == {"limit": None, "cache": True, "forced": [], "selection": None, "settings": []}
    assert {"parsl", "aiohttp", "pydantic"} <= set(lock.packages)
    texts = {name: (recorded.folder / name).read_bytes() for name in ("prompts/x.md", "work.py", "helper.py")}
    assert lock.sources == {name: hashlib.sha256(data).hexdigest() for name, data in texts.items()}
    for name, data in texts.items():
        assert (run.folder.sources / name).read_bytes() == data
    assert run.folder.workflow_file.read_text() == HEADER + WORKFLOW


def test_an_endpoint_given_as_a_path_is_found_again(recorded: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recorded.folder)
    run = recorded.run(WORKFLOW, endpoint="./local.yaml")
    assert read_lock(run.folder).endpoint == str(recorded.folder / "local.yaml")


def test_the_journal_tells_the_run_in_order(recorded: Bench) -> None:
    run = recorded.run(WORKFLOW)
    journal = entries(run)
    kinds = [(entry["e"], entry.get("step")) for entry in journal]
    assert kinds[0] == ("start", None)
    assert {name: journal[0][name] for name in ("run", "generation", "resumed")} == {
        "run": run.id,
        "generation": 1,
        "resumed": False,
    }
    assert kinds[-2:] == [("outputs", None), ("end", None)]
    assert kinds.count(("done", "ask")) == 2
    for step in ("ask", "call", "script"):
        place = [index for index, kind in enumerate(kinds) if kind[1] == step]
        assert kinds[place[0]] == ("step", step)
        assert kinds[place[-1]] == ("stepdone", step)
    assert ("skipped", "off") in kinds
    assert kinds.index(("stepdone", "ask")) < kinds.index(("step", "call")) < kinds.index(("done", "call"))
    times = [entry["t"] for entry in journal]
    assert times == sorted(times)
    assert journal[-1] == {"e": "end", "t": journal[-1]["t"], "status": "done", "exit": 0}
    assert {entry["step"]: entry["items"] for entry in journal if entry["e"] == "step"}["ask"] == 2
    for entry in entries(run, "done"):
        assert {"step", "key", "address", "index", "attempt", "ck", "t0", "t1", "output", "kind"} <= set(entry)


def test_the_outputs_are_a_file_and_the_state_agrees(recorded: Bench) -> None:
    run = recorded.run(WORKFLOW)
    assert run.outputs == {"all": ["Say 0\n", "Say 1\n"], "off": None}
    assert json.loads((run.folder.outputs / "outputs.json").read_text()) == run.outputs
    state = RunState.read(run.folder)
    assert state.missing == {"off": "the step 'off' was skipped"}
    document = state.as_json()
    assert document["status"] == "done"
    assert document["steps"] == {
        "ask": {"done": 2, "failed": 0, "skipped": 0, "cached": 0},
        "call": {"done": 1, "failed": 0, "skipped": 0, "cached": 0},
        "script": {"done": 1, "failed": 0, "skipped": 0, "cached": 0},
        "off": {"done": 0, "failed": 0, "skipped": 1, "cached": 0},
    }
    assert document["calls"] == 2
    assert document["usage"]["total_tokens"] == sum(
        e["call"]["usage"]["total_tokens"] for e in entries(run, "done", "ask")
    )
    assert document["record"] == str(run.folder.path)


@pytest.mark.parametrize("site", ["local", "local-processes"])
def test_the_record_is_private_and_parsls_folder_is_gone(recorded: Bench, site: str) -> None:
    run = recorded.run(WORKFLOW, site=site)
    assert run.status == "done"
    assert not (run.folder.path / "parsl").exists()
    found = [run.folder.path, *run.folder.path.rglob("*")]
    for path in found:
        assert stat.S_IMODE(path.lstat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert not [path for path in found if path.name.startswith(".")]
    assert sorted(path.name for path in (run.folder.steps / "script" / "instance").iterdir()) == [
        "script.sh",
        "stderr",
        "stdin",
        "stdout",
    ]
    assert not (recorded.folder / "runinfo").exists()


def test_a_run_that_cannot_start_leaves_no_run_that_seems_to_go_on(recorded: Bench) -> None:
    with pytest.raises(MetisFlowError):
        recorded.run("steps: {a: {chat: hi}}", endpoint="absent")
    assert not (recorded.folder / "runs").exists()


def test_runs_of_one_folder_do_not_meet(recorded: Bench) -> None:
    first, second = recorded.run(WORKFLOW), recorded.run(WORKFLOW)
    assert first.id != second.id
    assert [e["ck"] for e in sorted(entries(first, "done"), key=lambda e: e["address"])] == [
        e["ck"] for e in sorted(entries(second, "done"), key=lambda e: e["address"])
    ]
