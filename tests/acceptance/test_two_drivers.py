"""Two processes on one run, by the command line: refused, gone on with, overtaken."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from acceptance_kit import Desk, answers, end_of, recorded, write_endpoint

from metis_flow.api import Run
from metis_flow.testing import Gateway, Reply

QUESTIONS = 12
IN_FLIGHT = 4
SILENCE = 61.0


@dataclass
class Slow:
    """Answers as a gateway does without a rule: the first few at once, the next few after a while."""

    seconds: float = 2.0
    asked: list[str] = field(default_factory=list)

    def __call__(self, body: dict[str, Any], n: int) -> Reply:
        self.asked.append(body["messages"][-1]["content"])
        late = IN_FLIGHT < len(self.asked) <= 2 * IN_FLIGHT
        return Reply(f"You said: {self.asked[-1]}", latency=self.seconds if late else None)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def gateway(slow: Slow) -> Iterator[Gateway]:
    with Gateway(rule=slow, limits=None) as found:
        yield found


@pytest.fixture
def first(desk: Desk, gateway: Gateway, slow: Slow) -> subprocess.Popen[str]:
    """A driver whose run has four answers, and waits for four more."""
    write_endpoint(gateway, desk.folder)
    process = desk.start("run", desk.questions(QUESTIONS), "--endpoint", "near", "--site", "local")
    gateway.wait_for(lambda counts: len(slow.asked) >= 2 * IN_FLIGHT, seconds=60)
    return process


def run_of(desk: Desk) -> Run:
    """The one run."""
    return Run.open("last", desk.folder / "runs")


def journal_of(run: Run) -> dict[str, bytes]:
    """Its segments."""
    return {path.name: path.read_bytes() for path in sorted(run.folder.journal.glob("*.jsonl"))}


def fall_silent(run: Run) -> None:
    """Make the newest lock as old as if its holder had given no sign of life for a minute."""
    path: Path = max(run.folder.driver.iterdir())
    before = time.time() - SILENCE
    os.utime(path, (before, before))


def test_the_second_is_refused_with_host_and_pid_of_the_first(desk: Desk, first: subprocess.Popen[str]) -> None:
    run = run_of(desk)
    first.send_signal(signal.SIGSTOP)  # so that it has not ended before the second has begun
    second = desk.call("resume", "last")
    first.send_signal(signal.SIGCONT)
    assert (second.code, second.out) == (2, "")
    who = f"process {first.pid} on {socket.gethostname()}"
    assert f"the run {run.id} is being driven by {who}\n  hint: its last sign of life was " in second.err
    assert end_of(first).code == 0
    assert recorded(run) == answers(QUESTIONS)
    assert run.state.generation == 1


def test_the_second_goes_on_when_the_first_was_killed(
    desk: Desk, gateway: Gateway, first: subprocess.Popen[str]
) -> None:
    first.kill()
    first.communicate()
    run = run_of(desk)
    assert run.status == "died"
    second = desk.call("resume", "last")
    assert second.code == 0, second.err
    assert recorded(run) == answers(QUESTIONS)
    assert gateway.counts.repeated <= IN_FLIGHT


def test_the_first_that_was_stopped_and_overtaken_writes_nothing_more_and_says_why(
    desk: Desk, gateway: Gateway, slow: Slow, first: subprocess.Popen[str]
) -> None:
    first.send_signal(signal.SIGSTOP)
    run = run_of(desk)
    refused = desk.call("resume", "last")
    assert refused.code == 2
    assert f"is being driven by process {first.pid} on " in refused.err
    fall_silent(run)
    second = desk.call("resume", "last")
    assert second.code == 0, second.err
    # The answers to the calls of the first have come meanwhile, and it reads them as soon as it goes on.
    gateway.wait_for(lambda counts: counts.in_flight == 0, seconds=60)
    before, outputs = journal_of(run), (run.folder.outputs / "outputs.json").read_bytes()
    first.send_signal(signal.SIGCONT)
    ended = end_of(first)
    assert ended.code == 2
    assert f"has taken over the run {run.id}; this process writes nothing more\n" in ended.err
    assert "hint: it gave no sign of life for too long and so counted as gone" in ended.err
    assert journal_of(run) == before
    assert (run.folder.outputs / "outputs.json").read_bytes() == outputs
    assert (run.state.status, run.state.generation) == ("done", 2)
    assert recorded(run) == answers(QUESTIONS)
    assert len(slow.asked) <= QUESTIONS + IN_FLIGHT
