"""Runs that do not go well: failed steps, stops, a login that is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cli_kit import Cli, Here, write_endpoint

from metis_flow.record.folder import list_runs
from metis_flow.record.state import RunState
from metis_flow.testing import Faults, Gateway, Spell

FAILING = """\
version: 1
name: failing
steps:
  break:
    foreach: [1, 2, 3]
    run: echo "no $1" >&2; exit "$1"
    args: ["${{ item }}"]
  gather:
    python: builtins:len
    with: {obj: "${{ steps.break.outputs }}"}
  fine:
    run: echo fine
outputs:
  all: ${{ steps.gather.output }}
  fine: ${{ steps.fine.output }}
"""
ASKING = """\
version: 1
name: asking
endpoint: near
steps:
  ask:
    foreach: ${{ range(20) }}
    chat: ${{ item }}
outputs: {answers: "${{ steps.ask.outputs }}"}
"""
WAITING = """\
version: 1
name: waiting
steps:
  sleep:
    foreach: ${{ range(40) }}
    run: echo begun >&2; sleep 0.2
"""


def test_failed_steps_are_told_with_an_example_and_what_to_do(cli: Cli) -> None:
    cli.write("failing.yaml", FAILING)
    ended = cli("run", "failing.yaml")
    name = list_runs(cli.folder / "runs")[0].id
    assert ended.code == 1
    assert ended.out == "all: null\nfine: fine\n"
    assert "break@0:\n  error:    the script ended with exit code 1 [shell]\n" in ended.err
    assert "the output 'all' is missing: the step 'gather' failed\n" in ended.err
    assert f"next: metis-flow errors {name}\n" in ended.err
    assert "Traceback" not in ended.err


def test_failed_steps_as_json(cli: Cli) -> None:
    cli.write("failing.yaml", FAILING)
    ended = cli("run", "failing.yaml", "--json")
    assert ended.code == 1
    assert ended.document["status"] == "failed"
    assert ended.document["outputs"] == {"all": None, "fine": "fine"}
    assert ended.document["steps"]["break"] == {"done": 0, "failed": 3, "skipped": 0, "cached": 0}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 5)])
def test_a_signal_lets_what_runs_finish_and_says_how_to_go_on(cli: Cli, number: signal.Signals, code: int) -> None:
    cli.write("waiting.yaml", WAITING)
    process = cli.start("run", "waiting.yaml", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    seen = ""
    while "sleep: begins" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.send_signal(number)
    out, err = process.communicate()
    document = json.loads(out)
    assert process.returncode == code
    assert document["status"] == "stopped"
    assert document["steps"]["sleep"]["done"] < 40
    assert document["steps"]["sleep"]["failed"] == 0
    assert f"next: metis-flow resume {document['run']}\n" in err
    assert "stopping (" in seen + err


def test_ctrl_c_before_a_run_starts(cli: Cli) -> None:
    cli.write("slow.yaml", "version: 1\nname: slow\nsteps: {a: {python: slow:f}}\n")
    cli.write("slow.py", "def f():\n    return 1\n")
    fifo = cli.folder / "given.yaml"
    os.mkfifo(fifo)
    process = cli.start("run", "slow.yaml", "--params", "given.yaml", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with open(fifo, "w"):  # it has come so far, and waits for the values
        sleeps_in_a_row = 0
        while sleeps_in_a_row < 5:  # Python may miss what comes between its last look and the read that blocks
            time.sleep(0.02)
            state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
            sleeps_in_a_row = sleeps_in_a_row + 1 if state == "S" else 0
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    assert not (cli.folder / "runs").exists()


def test_a_login_that_is_gone_pauses_a_run_and_says_what_to_type(cli: Cli) -> None:
    cli.write("asking.yaml", ASKING)
    expiry = Faults(spells=[Spell("token_expiry", start=5)])
    with Gateway(lambda body, n: "fine", limits=None, faults=expiry) as gateway:
        write_endpoint(gateway, cli.folder, limits={"concurrency": 1})
        ended = cli("run", "asking.yaml", "--json")
    document = ended.document
    assert ended.code == 3
    assert document["status"] == "paused"
    assert 0 < document["steps"]["ask"]["done"] < 20
    assert document["error"]["code"] == 3
    remedy = f"put a valid token into {cli.folder}/near.token"
    assert document["error"]["hint"] == remedy
    assert f"next: {remedy}\nnext: metis-flow resume {document['run']}\n" in ended.err


def test_a_limit_of_the_workflow_ends_a_run_with_its_own_exit_code(cli: Cli) -> None:
    cli.write("asking.yaml", ASKING + "limits: {calls: 3}\n")
    with Gateway(lambda body, n: "fine", limits=None) as gateway:
        write_endpoint(gateway, cli.folder)
        ended = cli("run", "asking.yaml")
    assert ended.code == 4
    assert "because: the limit of 3 calls was reached" in ended.err
    assert "next: metis-flow resume " in ended.err


def test_a_run_that_was_killed_is_told_as_dead(cli: Cli, here: Here) -> None:
    cli.write("waiting.yaml", WAITING)
    process = cli.start("run", "waiting.yaml", stderr=subprocess.PIPE)
    assert process.stderr is not None
    while "sleep: begins" not in process.stderr.readline():
        pass
    process.kill()
    process.communicate()
    state = RunState.read(list_runs(Path("runs"))[0])
    ended = here("status")
    assert "status:   died\n" in ended.out
    assert ended.out.endswith(f"next: metis-flow resume {state.id}\n")
    assert here("runs").out.splitlines()[1].split()[1] == "died"
