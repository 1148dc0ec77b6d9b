"""``cancel RUN [STEP[@KEY]]``: from another shell, while the run goes on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_kit import Bench, counts, entries, error_of, statuses

from metis_flow.api import Run
from metis_flow.cli import run_command
from metis_flow.testing import Reply

SLOW = """
    steps:
      work:
        foreach: ROWS
        key: ${{ item }}
        args: ["${{ item }}"]
        run: |
          touch "$MARKS/$1"
          sleep "$1"
          echo "$1"
        env: {MARKS: "${{ params.marks }}"}
        on_error: continue
      after: {foreach: "${{ steps.work.results }}", chat: "${{ item.output }}"}
    params: {marks: {type: string}}
"""


def until(condition: Callable[[], object]) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.05)


class Going:
    """A run in a thread, to be cancelled by the command."""

    def __init__(self, bench: Bench, text: str, rows: list[str]) -> None:
        self.bench = bench
        self.marks = bench.folder / "marks"
        self.marks.mkdir()
        self.runs = bench.folder / "runs"
        text, params = text.replace("ROWS", json.dumps(rows)), {"marks": str(self.marks)}
        self._thread = threading.Thread(target=lambda: bench.run(text, params))
        self._thread.start()

    def has_begun(self, *names: str) -> None:
        until(lambda: all((self.marks / name).exists() for name in names))

    def cancel(self, *words: str) -> int:
        return run_command(["cancel", "last", *words, "--runs-dir", str(self.runs)])

    def end(self) -> Run:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return Run.open("last", self.runs)


def test_one_instance_is_cancelled_and_the_rest_goes_on(chat_bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    going = Going(chat_bench, SLOW, ["600", "0.1"])
    going.has_begun("600")
    assert going.cancel("work@600") == 0
    assert "work@600 is cancelled" in capsys.readouterr().out
    run = going.end()
    assert statuses(run, "work") == {"600": "failed", "0.1": "done"}
    error = error_of(run, "work", "600")
    assert error["kind"] == "cancelled"
    assert error["summary"].startswith("cancelled by process ")
    assert error["hint"] == "'metis-flow resume RUN --failed' runs it again"
    assert counts(run, "after") == (1, 0, 1)
    assert run.status == "done"


def test_a_step_is_cancelled_with_what_has_not_begun(chat_bench: Bench) -> None:
    rows = [f"{600 + n}" for n in range(40)]
    going = Going(chat_bench, SLOW, rows)
    going.has_begun("600")
    assert going.cancel("work") == 0
    run = going.end()
    assert counts(run, "work") == (0, 40, 0)
    assert run.status == "failed"
    assert len(list(going.marks.iterdir())) < 40
    assert {e["error"]["kind"] for e in entries(run, "failed", "work")} == {"cancelled"}


def test_a_run_that_is_cancelled_keeps_answers_and_leaves_scripts(chat_bench: Bench) -> None:
    gateway = chat_bench.gateway
    assert gateway is not None
    chat_bench.answers.rule = lambda body, n: Reply("answer", latency=3)
    text = """
    steps:
      work: {run: "touch $MARKS/600; sleep 600", env: {MARKS: "${{ params.marks }}"}}
      ask: {chat: hi}
      more: {needs: ask, chat: hi}
    params: {marks: {type: string}}
    """
    going = Going(chat_bench, text, [])
    going.has_begun("600")
    gateway.wait_for(lambda counts: counts.high_water == 1, seconds=60)
    assert going.cancel() == 0
    run = going.end()
    assert (run.status, run.state.exit_code) == ("stopped", 130)
    assert (run.state.reason or "").startswith("cancelled by process ")
    assert [e["step"] for e in entries(run, "done")] == ["ask"]
    assert not entries(run, "failed")
    chat_bench.answers.rule = lambda body, n: "again"
    again = threading.Thread(target=run.resume)  # an old wish does not stop it
    again.start()
    until(lambda: len(entries(run, "done")) == 2)
    assert going.cancel() == 0
    again.join(60)
    assert {e["step"] for e in entries(run, "done")} == {"ask", "more"}


def test_what_does_not_go_on_cannot_be_cancelled(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    run = bench.run("steps: {a: {run: echo hi}}")
    assert run_command(["cancel", run.id, "--runs-dir", str(bench.folder / "runs")]) == 2
    assert "the run does not go on: it is done" in capsys.readouterr().err
    assert not any(Path(run.folder.requests).iterdir())
