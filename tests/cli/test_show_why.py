"""``show STEP@KEY`` says why an instance ran: what has changed since the newest earlier run, or that it is new."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Cli, Here, Terminal, write_endpoint

from metis_flow import Workflow
from metis_flow.testing import Gateway

WORKFLOW = """\
version: 1
name: reasons
params: {metals: {type: array, default: [iron, zinc]}, warm: {type: number, default: 0}}
endpoint: near
model: {temperature: "${{ params.warm }}"}
steps:
  ask:
    foreach: ${{ params.metals }}
    key: ${{ item }}
    chat: |
      You know metals.
      Describe ${{ item }}.
  gone: {if: "false", run: echo}
"""
LONG = """\
version: 1
name: long
steps: {a: {run: head -c 1000000 /dev/zero | tr '\\0' x}}
outputs: {text: "${{ steps.a.output }}"}
"""
LAST: dict[str, float] = {}


@pytest.fixture
def gateway(here: Here, tmp_path: Path) -> Iterator[Gateway]:
    """Who answers, with the workflow beside the endpoint."""
    (tmp_path / "reasons.yaml").write_text(WORKFLOW)
    with Gateway(lambda body, n: "dull", limits=None) as running:
        write_endpoint(running, tmp_path)
        yield running


def run(**options: Any) -> str:
    """The id of a new run; ids of the same second have no order."""
    while int(time.time()) == int(LAST.get("began", 0)):
        time.sleep(0.02)
    LAST["began"] = time.time()
    return Workflow.load("reasons.yaml").run(**options).id


def why(here: Here, run_id: str, target: str) -> tuple[str, Any]:
    """The line for people, and what the document says."""
    ended = here("show", run_id, target)
    assert ended.code == 0, ended.err
    lines = [line for line in ended.out.splitlines() if line.startswith("because:")]
    assert len(lines) <= 1
    return "".join(lines).removeprefix("because:  "), here("show", run_id, target, "--json").document["why"]


def test_why_an_instance_ran(here: Here, gateway: Gateway, tmp_path: Path) -> None:
    first = run()
    new = ("new: no earlier run of this workflow has made it", {"reason": "new"})
    assert why(here, first, "ask@iron") == new
    assert why(here, first, "gone") == ("", None)  # it did not run

    second = run(params={"metals": ["iron", "gold"]})
    assert why(here, second, "ask@iron") == (f"cached from {first}", {"reason": "cached", "run": first})
    assert why(here, second, "ask@gold") == new
    assert f"          see it there: metis-flow show {first} ask@iron\n" in here("show", second, "ask@iron").out

    (tmp_path / "reasons.yaml").write_text(WORKFLOW.replace("Describe", "Praise"))
    third = run(params={"metals": ["iron", "gold", "zinc"]})
    changed = f"prompt, line 12 changed since {second}"
    assert why(here, third, "ask@gold") == (changed, {"reason": "changed", "what": "prompt, line 12", "run": second})
    # zinc was left out the last time: it is compared with the run that made it
    assert why(here, third, "ask@zinc")[0] == f"prompt, line 12 changed since {first}"
    # and the run before is as it was
    assert why(here, second, "ask@iron")[0] == f"cached from {first}"


def test_what_is_not_used_again_has_not_changed(here: Here, gateway: Gateway) -> None:
    first, second = run(), run(force=["ask"])
    words = f"nothing it was made from changed since {first}, and that result was not used again"
    assert why(here, second, "ask@iron") == (words, {"reason": "unchanged", "run": first})
    third = run(params={"warm": 1})
    assert why(here, third, "ask@iron")[0] == f"model settings changed since {second}"


def test_a_record_whose_workflow_cannot_be_read_says_nothing(here: Here, gateway: Gateway, tmp_path: Path) -> None:
    only = run()
    (tmp_path / "runs" / only / "workflow.yaml").write_text("version: 1\n")
    assert why(here, only, "ask@iron") == ("", None)


def test_outputs_of_one_long_line_are_cut_on_a_terminal_only(cli: Cli) -> None:
    cli.write("long.yaml", LONG)
    seen = Terminal.start(cli, "run", "long.yaml").end()
    shown = Terminal.start(cli, "show", "last").end()
    for text in (seen, shown):
        assert re.search(r"text: x{1994}… 998,006 more characters\r\n *… the rest is in runs/long-", text), text[-3000:]
        assert len(text) < 10_000
    piped = cli("show", "last").out
    assert "x" * 1_000_000 in piped
    assert "more characters" not in piped
    assert json.loads(cli("show", "last", "--json").out)["outputs"]["text"] == "x" * 1_000_000


def test_a_notification_that_fails_is_a_line_that_stays_on_the_terminal(cli: Cli) -> None:
    cli.write("told.yaml", 'version: 1\nname: told\nnotify: "echo no route >&2; exit 7"\nsteps: {a: {run: echo}}\n')
    terminal = Terminal.start(cli, "run", "told.yaml")
    seen = terminal.end()
    assert terminal.code == 0
    assert "notify: the command ended with exit code 7: no route" in re.sub(r"\s+", " ", seen)
