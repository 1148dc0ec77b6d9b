"""Runs that are killed, whose disk fills up, whose journal is torn: nothing is lost, and nothing paid for twice."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from acceptance_kit import Desk, answers, end_of, recorded, write_endpoint
from chaos_kit import Held, SmallDisk, copy_of, last_segment, small_disk

from benchmarks import chaos
from benchmarks.kills import Ended, History, Killed
from metis_flow.api import Run
from metis_flow.record.journal import read_journal
from metis_flow.testing import Gateway

FULL = "the record cannot be written (No space left on device); the run waits until it can\n"
IN_FLIGHT = 8


def read_until(process: subprocess.Popen[str], wanted: str) -> str:
    """Read what a command says up to the line that begins so."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        if line.startswith(wanted):
            return line
        said.append(line)
    raise AssertionError(f"it never said {wanted!r}, but {''.join(said)}")


# -- killed


def test_a_driver_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    load = chaos.Load(rounds=4, items=40, seed=25)
    result = chaos.measure(tmp_path, load)
    print(chaos.report(result))
    assert result.amiss() == []
    assert len(result.kills()) == load.rounds
    assert result.unlike == 0
    assert json.loads(result.calm.end.outputs) == load.outputs()
    assert (result.calm.asked_again, result.calm.end.paid_again) == (0, 0)
    assert len(result.calm.end.asked) == load.questions


KILLED = Killed("answering", ("a", "b"), frozenset(), frozenset("a"))
ENDED = Ended(("b", "c", "d"), frozenset("b"), 0, b"", 0, 1, "")
MISDEEDS = [
    (KILLED, ENDED, []),
    (
        KILLED,
        replace(ENDED, asked=("b", "c", "d", "c")),
        ["driver 2 asked twice: ['c']", "2 asked again, 1 in flight at the kills"],
    ),
    (
        KILLED,
        replace(ENDED, asked=("a", "b", "c", "d"), again=frozenset("ab")),
        [
            "driver 2 asked what the journal held: ['a']",
            "driver 2 asked again what was not in flight at a kill: ['a']",
            "2 asked again, 1 in flight at the kills",
        ],
    ),
    (
        replace(KILLED, asked=("a", "b", "c", "d")),
        replace(ENDED, again=frozenset("bcd")),
        ["driver 1 had 3 calls in flight"],
    ),
    (KILLED, replace(ENDED, code=1, err="no"), ["the last driver ended with 1: no"]),
    (KILLED, replace(ENDED, doubled=3), ["3 instances have two results"]),
]


@pytest.mark.parametrize(("killed", "ended", "amiss"), MISDEEDS)
def test_what_no_kill_explains_would_be_seen(killed: Killed, ended: Ended, amiss: list[str]) -> None:
    """The measure itself."""
    assert History((killed,), ended).amiss(2) == amiss


def test_an_answer_that_is_forgotten_would_be_seen() -> None:
    later = Killed("answering", ("b",), frozenset("b"), frozenset("b"))
    assert History((KILLED, later), ENDED).amiss(2)[0] == "driver 2 lost answers: ['a']"


# -- stopped


def test_all_64_calls_in_flight_at_a_sigterm_are_kept(desk: Desk) -> None:
    held = Held()
    with Gateway(held, limits=None) as gateway:
        write_endpoint(gateway, desk.folder, limits={"concurrency": 64})
        process = desk.start("run", desk.questions(200), "--endpoint", "near", "--site", "local")
        gateway.wait_for(lambda counts: counts.in_flight == 64, seconds=60)
        process.send_signal(signal.SIGTERM)
        read_until(process, "stopping (ended by SIGTERM): ")
        held.open.set()
        assert end_of(process).code == 5
        run = Run.open("last", desk.folder / "runs")
        assert (run.status, run.state.exit_code, run.state.reason) == ("stopped", 5, "ended by SIGTERM")
        assert set(recorded(run).values()) == {f"You said: {question}" for question in held.asked}
        assert (len(recorded(run)), len(held.asked)) == (64, 64)
        assert desk.call("resume", "last").code == 0
        assert recorded(run) == answers(200)
        assert len(held.asked) == 200


# -- no room


@pytest.fixture
def disk(desk: Desk) -> Iterator[SmallDisk]:
    with small_disk(desk.folder / "disk", "2m") as found:
        yield found


@pytest.fixture
def asked() -> chaos.Asked:
    return chaos.Asked()


@pytest.fixture
def gateway(asked: chaos.Asked) -> Iterator[Gateway]:
    with Gateway(asked, limits=None, latency=0.02) as found:
        yield found


@pytest.fixture
def waiting(desk: Desk, disk: SmallDisk, gateway: Gateway) -> subprocess.Popen[str]:
    """A driver of three steps that has begun to wait for room on its disk, with all its calls answered."""
    desk.write("chaos.yaml", chaos.STUDY.replace("ITEMS", "60"))
    desk.write("turning.py", chaos.TURNING)
    write_endpoint(gateway, desk.folder, limits={"concurrency": IN_FLIGHT})
    process = desk.start("run", "chaos.yaml", "--endpoint", "near", "--runs-dir", disk.path / "runs")
    gateway.wait_for(lambda counts: counts.answered >= 30, seconds=60)
    disk.fill()
    read_until(process, FULL)
    gateway.wait_for(lambda counts: counts.in_flight == 0, seconds=60)
    return process


def kept(run: Run) -> int:
    """Questions that the journal holds an answer to."""
    return sum(entry["e"] == "done" and "call" in entry for entry in read_journal(run.folder.journal))


def outputs(run: Run) -> dict[str, object]:
    """Of the file."""
    found: dict[str, object] = json.loads((run.folder.outputs / "outputs.json").read_bytes())
    return found


def test_a_run_waits_while_its_disk_is_full(
    desk: Desk, disk: SmallDisk, asked: chaos.Asked, waiting: subprocess.Popen[str]
) -> None:
    (questions,) = asked.drivers
    run = Run.open("last", disk.path / "runs")
    assert len(questions) <= kept(run) + IN_FLIGHT
    assert desk.call("status", "last", "--runs-dir", disk.path / "runs").code == 0
    assert run.status == "running"
    disk.free()
    read_until(waiting, "the record is written again\n")
    assert end_of(waiting).code == 0
    assert outputs(run) == chaos.Load(items=60).outputs()
    assert set(Counter(questions).values()) == {1}
    assert len(questions) == 120


def test_a_resume_says_that_there_is_no_room_and_changes_nothing(
    desk: Desk, disk: SmallDisk, asked: chaos.Asked, waiting: subprocess.Popen[str]
) -> None:
    waiting.kill()
    waiting.communicate()
    run = Run.open("last", disk.path / "runs")
    before = {path: path.read_bytes() for path in run.folder.path.rglob("*") if path.is_file()}
    refused = desk.call("resume", "last", "--runs-dir", disk.path / "runs")
    assert refused.code == 2, refused.err
    assert f"the lock of the run {run.id} cannot be written: No space left on device" in refused.err
    assert "hint: nothing was changed; resume the run when there is room again" in refused.err
    assert {path: path.read_bytes() for path in run.folder.path.rglob("*") if path.is_file()} == before
    disk.free()
    (questions,) = asked.drivers
    lost = len(questions) - kept(run)
    assert lost <= IN_FLIGHT
    ended = desk.call("resume", "last", "--runs-dir", disk.path / "runs")
    assert ended.code == 0, ended.err
    assert outputs(run) == chaos.Load(items=60).outputs()
    assert len(questions) == 120 + lost


# -- torn


@pytest.fixture
def torn(desk: Desk) -> Iterator[tuple[Run, Held]]:
    """A run that was killed with three answers in its journal, the last of them at its end, and a fourth on its way."""
    held = Held(only="Question 3")
    with Gateway(held, limits=None) as gateway:
        write_endpoint(gateway, desk.folder, limits={"concurrency": 1})
        process = desk.start("run", desk.questions(4), "--endpoint", "near", "--site", "local")
        gateway.wait_for(lambda counts: len(held.asked) == 4, seconds=60)
        process.kill()
        process.communicate()
        held.open.set()
        gateway.wait_for(lambda counts: counts.in_flight == 0, seconds=60)
        run = Run.open("last", desk.folder / "runs")
        assert recorded(run).keys() == {"q0", "q1", "q2"}
        yield run, held


def last_answer(journal: bytes) -> tuple[int, int]:
    """Where the last answer of a file of the journal begins and ends, in bytes."""
    lines = journal.splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if b'"e":"done"' in line)
    begin = len(b"".join(lines[:last]))
    return begin, begin + len(lines[last])


def test_a_journal_that_is_cut_in_its_last_answer_costs_that_answer_only(
    torn: tuple[Run, Held], tmp_path: Path
) -> None:
    run, held = torn
    journal = last_segment(run.folder).read_bytes()
    begin, end = last_answer(journal)
    for cut in sorted({begin, begin + 1, begin + 40, (begin + end) // 2, end - 20, end - 2, end - 1, end}):
        copy = copy_of(run.folder, tmp_path / f"cut-{cut}", journal[:cut])
        held.asked.clear()
        resumed = Run.open(str(copy.path)).resume()
        assert resumed.status == "done"
        assert recorded(resumed) == answers(4)
        assert held.asked == ["Question 3?"] if cut == end else ["Question 2?", "Question 3?"]


def test_at_every_byte_a_cut_takes_away_that_answer_only(torn: tuple[Run, Held]) -> None:
    run, _ = torn
    segment = last_segment(run.folder)
    journal = segment.read_bytes()
    begin, end = last_answer(journal)
    whole = [entry for entry in read_journal(run.folder.journal) if entry["e"] != "tick"]
    for cut in range(begin, end + 1):
        segment.write_bytes(journal[:cut])
        left = [entry for entry in read_journal(run.folder.journal) if entry["e"] != "tick"]
        assert left == (whole if cut == end else whole[:-1])


def test_a_run_whose_end_was_cut_off_ends_again_and_asks_nothing(desk: Desk, tmp_path: Path) -> None:
    held = Held()
    held.open.set()
    with Gateway(held, limits=None) as gateway:
        write_endpoint(gateway, desk.folder, limits={"concurrency": 2})
        assert desk.call("run", desk.questions(4), "--endpoint", "near", "--site", "local").code == 0
        run = Run.open("last", desk.folder / "runs")
        before = (run.folder.outputs / "outputs.json").read_bytes()
        journal = last_segment(run.folder).read_bytes()
        *_, last = journal.splitlines(keepends=True)
        for bytes_off in (1, len(last) // 2, len(last)):
            copy = copy_of(run.folder, tmp_path / f"off-{bytes_off}", journal[:-bytes_off])
            assert Run(copy).status == "died"
            resumed = Run(copy).resume()
            assert (resumed.status, resumed.state.exit_code) == ("done", 0)
            assert recorded(resumed) == answers(4)
            assert (copy.outputs / "outputs.json").read_bytes() == before
        assert len(held.asked) == 4
