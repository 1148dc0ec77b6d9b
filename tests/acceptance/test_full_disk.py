"""A disk that is full for a while: the run waits, and nothing that was answered is lost or asked again."""

from __future__ import annotations

import resource
import signal
import subprocess
from collections.abc import Iterator

import pytest
from acceptance_kit import Desk, answers, end_of, recorded, write_endpoint

from metis_flow.api import Run
from metis_flow.testing import Gateway

QUESTIONS = 60
IN_FLIGHT = 4
FULL = "the record cannot be written (File too large); the run waits until it can\n"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(limits=None, latency=0.15) as found:
        yield found


def let_files_grow(process: subprocess.Popen[str], limit: int | None) -> None:
    """Let no file of a process grow above so many bytes: it fails half-way through an entry, as on a full disk."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard if limit is None else limit, hard))


def read_until(process: subprocess.Popen[str], wanted: str) -> None:
    """Read what a command says up to a line."""
    assert process.stderr is not None
    for line in process.stderr:
        if line == wanted:
            return
    raise AssertionError(f"it never said {wanted!r}")


@pytest.fixture
def waiting(desk: Desk, gateway: Gateway) -> subprocess.Popen[str]:
    """A driver that has begun to wait for its disk, with all its calls answered."""
    write_endpoint(gateway, desk.folder, limits={"concurrency": IN_FLIGHT})
    process = desk.start("run", desk.questions(QUESTIONS), "--endpoint", "near", "--site", "local")
    gateway.wait_for(lambda counts: counts.answered >= 10, seconds=60)
    process.send_signal(signal.SIGSTOP)  # so that it has not ended before its disk is full
    (segment,) = Run.open("last", desk.folder / "runs").folder.journal.glob("*.jsonl")
    let_files_grow(process, segment.stat().st_size + 100)
    process.send_signal(signal.SIGCONT)
    read_until(process, FULL)
    gateway.wait_for(lambda counts: counts.in_flight == 0, seconds=60)
    return process


def test_a_run_waits_until_there_is_room(desk: Desk, gateway: Gateway, waiting: subprocess.Popen[str]) -> None:
    run = Run.open("last", desk.folder / "runs")
    # What was sent is answered; nothing more is sent before that is kept.
    assert gateway.counts.answered <= len(recorded(run)) + IN_FLIGHT
    assert run.status == "running"
    let_files_grow(waiting, None)
    read_until(waiting, "the record is written again\n")
    assert end_of(waiting).code == 0
    assert recorded(run) == answers(QUESTIONS)
    assert (gateway.counts.answered, gateway.counts.repeated) == (QUESTIONS, 0)


def test_one_that_is_killed_while_it_waits_is_gone_on_with(
    desk: Desk, gateway: Gateway, waiting: subprocess.Popen[str]
) -> None:
    waiting.kill()
    waiting.communicate()
    run = Run.open("last", desk.folder / "runs")
    kept = recorded(run)
    assert kept.items() <= answers(QUESTIONS).items()
    ended = desk.call("resume", "last")
    assert ended.code == 0, ended.err
    assert recorded(run) == answers(QUESTIONS)
    assert gateway.counts.repeated <= IN_FLIGHT
