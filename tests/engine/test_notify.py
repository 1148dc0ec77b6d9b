"""``notify``: a command of the user's hears how the run ended, and cannot change that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from engine_kit import HEADER, Bench, entries

from metis_flow import Workflow
from metis_flow.api import Run
from metis_flow.engine import notify
from metis_flow.errors import LoginRequired
from metis_flow.record.state import RunState

TELL = 'env -0 > "heard-$METIS_FLOW_STATUS"'


def heard(bench: Bench, status: str) -> dict[str, str]:
    """The environment in which the command ran after an end; it leaves it beside the workflow."""
    text = (bench.folder / f"heard-{status}").read_text()
    return dict(line.split("=", 1) for line in text.split("\0") if line)


def told(run: Run) -> list[dict[str, Any]]:
    """What the journal says of notifications."""
    return [entry for entry in entries(run, "note") if entry.get("kind") == "notify"]


def test_it_finds_the_run_in_its_environment(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(f"notify: {TELL}\nsteps: {{a: {{run: echo}}}}\n")
    found = {name: value for name, value in heard(bench, "done").items() if name.startswith("METIS_FLOW_")}
    assert found == {
        "METIS_FLOW_RUN": run.id,
        "METIS_FLOW_STATUS": "done",
        "METIS_FLOW_REASON": "",
        "METIS_FLOW_RECORD": str(tmp_path / "runs" / run.id),
        "METIS_FLOW_WORKFLOW": "trial",
    }
    (note,) = told(run)
    assert (note["status"], "problem" in note) == ("done", False)


def test_the_record_is_whole_when_it_runs(bench: Bench) -> None:
    command = f"{sys.executable} -m metis_flow.cli show --json $METIS_FLOW_RECORD > shown.json"
    bench.run(f'notify: {command}\nsteps: {{a: {{run: echo 7}}}}\noutputs: {{n: "${{{{ steps.a.output }}}}"}}\n')
    shown = json.loads((bench.folder / "shown.json").read_text())
    assert (shown["status"], shown["outputs"]) == ("done", {"n": "7"})


def test_a_failure_and_a_limit_are_ends_with_a_reason(chat_bench: Bench) -> None:
    chat_bench.run(f"notify: {TELL}\nsteps: {{a: {{run: exit 3}}}}\n")
    assert heard(chat_bench, "failed")["METIS_FLOW_REASON"] == "failed: a"
    steps = 'steps: {a: {foreach: [1, 2], chat: "${{ item }}"}}\n'
    run = chat_bench.run(f"notify: {{run: '{TELL}'}}\nlimits: {{calls: 1}}\n{steps}")
    assert heard(chat_bench, "stopped")["METIS_FLOW_REASON"] == run.state.reason
    assert run.state.reason


def test_a_run_that_waits_for_a_login_is_an_end_too(chat_bench: Bench) -> None:
    gateway = chat_bench.gateway
    assert gateway is not None
    gateway.write_endpoint(chat_bench.folder, "local", auth={"kind": "file", "path": str(chat_bench.folder / "token")})
    (chat_bench.folder / "token").write_text("of-nobody\n")
    with pytest.raises(LoginRequired) as caught:
        chat_bench.run(f"notify: {TELL}\nsteps: {{a: {{chat: hello}}}}\n")
    assert heard(chat_bench, "paused")["METIS_FLOW_REASON"] == caught.value.summary


def test_only_after_the_ends_that_it_asks_for(bench: Bench) -> None:
    spec = f"notify: {{run: '{TELL}', on: [failed, paused]}}\n"
    run = bench.run(spec + "steps: {a: {run: echo}}\n")
    assert told(run) == []
    assert not (bench.folder / "heard-done").exists()
    assert len(told(bench.run(spec + "steps: {a: {run: exit 1}}\n"))) == 1


def test_a_finished_run_is_not_told_of_again(bench: Bench) -> None:
    run = bench.run("notify: echo >> heard\nsteps: {a: {run: exit 1}}\n")
    assert run.resume().status == "failed"
    assert len(told(run)) == 1
    run.resume(failed=True)
    assert len(told(run)) == 2
    assert (bench.folder / "heard").read_text() == "\n\n"


def test_a_called_workflow_tells_nobody(bench: Bench) -> None:
    bench.write("child.yaml", f"{HEADER.replace('trial', 'child')}notify: touch child\nsteps: {{a: {{run: echo}}}}\n")
    run = bench.run("notify: touch parent\nsteps: {a: {workflow: child.yaml}}\n")
    assert run.status == "done"
    assert (bench.folder / "parent").exists()
    assert not (bench.folder / "child").exists()


@pytest.mark.parametrize(
    ("command", "problem", "said"),
    [
        ("echo first; echo 'no \\033[2Jhost' >&2; exit 6", "ended with exit code 6", "no  [2Jhost"),
        ("kill -9 $$", "ended with signal 9", ""),
        ("a-command-that-is-not-there", "ended with exit code 127", "not found"),
        ("echo a\0b", "cannot be started (embedded null byte)", ""),
    ],
)
def test_its_failure_is_a_line_and_the_run_stays_as_it_is(
    bench: Bench, capfd: pytest.CaptureFixture[str], command: str, problem: str, said: str
) -> None:
    run = bench.run(f"notify: {json.dumps(command)}\nsteps: {{a: {{run: echo}}}}\n")
    assert (run.status, run.state.exit_code) == ("done", 0)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"notify: the command {problem}")
    assert line.endswith(said)
    (note,) = told(run)
    assert note["problem"] == problem  # and nothing of what it printed


def test_its_time_is_limited(bench: Bench, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "LIMIT_SECONDS", 0.3)
    run = bench.run("notify: echo $$ > pid; sleep 600; touch late\nsteps: {a: {run: echo}}\n")
    assert run.status == "done"
    assert capfd.readouterr().err == "notify: the command was ended after 300ms\n"
    assert not Path("/proc", (bench.folder / "pid").read_text().strip()).exists()
    assert notify.LIMIT_SECONDS == 0.3


def test_what_it_leaves_in_the_background_is_not_waited_for(bench: Bench) -> None:
    run = bench.run("notify: 'sleep 2 & echo $! > pid'\nsteps: {a: {run: echo}}\n")
    pid = (bench.folder / "pid").read_text().strip()
    assert "problem" not in told(run)[0]
    assert Path("/proc", pid).exists()
    while Path("/proc", pid).exists() and "Z" not in Path("/proc", pid, "stat").read_text().split()[2]:
        time.sleep(0.05)


def test_the_endpoint_s_secret_is_not_in_its_environment(chat_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = chat_bench.gateway
    assert gateway is not None
    token = gateway.issue_token()
    monkeypatch.setenv("TRIAL_ENDPOINT_KEY", token)
    monkeypatch.setenv("TRIAL_OTHER", "kept")
    gateway.write_endpoint(chat_bench.folder, "local", auth={"kind": "env", "variable": "TRIAL_ENDPOINT_KEY"})
    assert chat_bench.run(f"notify: {TELL}\nsteps: {{a: {{chat: hello}}}}\n").status == "done"
    found = heard(chat_bench, "done")
    assert found["TRIAL_OTHER"] == "kept"
    assert "TRIAL_ENDPOINT_KEY" not in found
    assert token not in found.values()


def test_nothing_it_prints_gets_between_the_document(bench: Bench) -> None:
    path = bench.write("trial.yaml", HEADER + "notify: echo loud; echo louder >&2\nsteps: {a: {run: echo}}\n")
    command = [sys.executable, "-m", "metis_flow.cli", "run", str(path), "--json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=bench.folder, env=environment, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["status"] == "done"
    assert "loud" not in done.stderr


def test_who_was_overtaken_tells_nothing(bench: Bench) -> None:
    """The end in the journal is another driver's."""
    from metis_flow.record.journal import JournalWriter

    run = bench.run("notify: echo >> heard\nsteps: {a: {run: echo}}\n")
    workflow = Workflow.load(bench.folder / "trial.yaml").definition
    generation = RunState.read(run.folder).generation
    assert generation is not None
    journal = JournalWriter(run.folder.journal)
    notify.tell_the_user(workflow, run.folder, journal, generation + 1)
    journal.close()
    assert (bench.folder / "heard").read_text() == "\n"
