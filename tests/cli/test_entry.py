"""How the command line fails, where the fault is its own or the machine's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import COMMAND, Cli, Here

from metis_flow import __version__
from metis_flow.cli import run_command
from metis_flow.cli.documents import kept_for_documents, print_document

BROKEN = """\
import metis_flow.plan.graph

def break_down(workflow):
    raise RuntimeError("an inner \\x1b[2J matter")

metis_flow.plan.graph.make_graph = break_down
from metis_flow.cli import main
import sys
sys.argv = ["metis-flow", *{arguments!r}]
sys.exit(main())
"""
FAULT = f"a fault of metis-flow {__version__}: RuntimeError: an inner \\x1b[2J matter"
HINT = "report it to its developers, with what METIS_FLOW_DEBUG=1 shows"


def broken(cli: Cli, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command line, with one function of the package replaced by one that raises."""
    cli.write("w.yaml", "version: 1\nname: w\nsteps: {a: {run: 'true'}}\n")
    code = BROKEN.format(arguments=list(arguments))
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cli.folder, env=cli.environment(env), capture_output=True, text=True
    )


def test_an_unexpected_error_is_one_line_and_whom_to_tell(cli: Cli) -> None:
    done = broken(cli, "graph", "w.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{FAULT}\n  hint: {HINT}\n"


def test_an_unexpected_error_as_json(cli: Cli) -> None:
    done = broken(cli, "plan", "w.yaml", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"error": {"summary": FAULT, "where": None, "hint": HINT, "code": 1}}


def test_the_traceback_is_shown_to_those_who_ask_for_it(cli: Cli) -> None:
    done = broken(cli, "graph", "w.yaml", env={"METIS_FLOW_DEBUG": "1"})
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith(f"{FAULT}\n  hint: {HINT}\n")
    assert "\x1b" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")
def test_a_full_disk_behind_standard_output_is_told(cli: Cli) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "schema"], cwd=cli.folder, env=cli.environment(), stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "No space left on device"
    assert "Traceback" not in done.stderr


def test_output_in_an_encoding_that_lacks_a_character(cli: Cli) -> None:
    cli.write("w.yaml", "version: 1\nname: w\nsteps: {a: {run: 'printf µ🙂'}}\noutputs: {a: '${{ steps.a.output }}'}\n")
    ended = cli("run", "w.yaml", env={"PYTHONIOENCODING": "ascii"})
    assert (ended.code, ended.out) == (0, "a: \\xb5\\U0001f642\n")


def test_only_documents_reach_standard_output_while_it_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    with kept_for_documents(True):
        print("printed")
        os.write(1, b"written\n")
        os.system("echo by a child")
        print_document({"a": "ü\x1b"})
    print("after")
    out, err = capfd.readouterr()
    assert out == '{\n  "a": "\\u00fc\\u001b"\n}\nafter\n'
    assert sorted(err.split()) == sorted(["printed", "written", "by", "a", "child"])


def test_no_descriptor_is_left_open(here: Here) -> None:
    run_command(["runs", "--json"])
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        run_command(["runs", "--json"])
    assert os.listdir("/proc/self/fd") == before
