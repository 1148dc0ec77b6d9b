"""Two real processes on one run: refused while the first lives, free when it is dead, overtaken when it was stopped."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

import pytest

from metis_flow.errors import RecordError
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter, read_journal
from metis_flow.record.ownership import Ownership, holder_of
from metis_flow.record.state import RunState

Spawn = Callable[..., "subprocess.Popen[str]"]
Wait = Callable[[Callable[[], object]], None]

DRIVE = """
import itertools, sys, time
from pathlib import Path
from metis_flow.errors import RecordError
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter
from metis_flow.record.ownership import Ownership

run = RunFolder(Path(sys.argv[1]))
owner = Ownership.acquire(run, touch_every=0.05)
writer = JournalWriter(run.journal, guard=owner.check)
writer.append({"e": "start", "run": run.id, "generation": owner.generation})
try:
    for i in itertools.count():
        writer.append({"e": "note", "kind": "test", "by": "first", "i": i})
        writer.flush()
        if i == 20:
            print("driving", flush=True)
        time.sleep(0.0005)
except RecordError as error:
    print(error, flush=True)
    sys.exit(2)
"""


@pytest.fixture
def driver(run: RunFolder, spawn: Spawn) -> subprocess.Popen[str]:
    process = spawn(DRIVE, run.path)
    assert process.stdout is not None
    assert process.stdout.readline() == "driving\n"
    return process


def test_the_second_is_refused_while_the_first_lives(run: RunFolder, driver: subprocess.Popen[str]) -> None:
    with pytest.raises(RecordError, match=f"is being driven by process {driver.pid} on "):
        Ownership.acquire(run)
    assert RunState.read(run).status == "running"


def test_the_second_goes_on_when_the_first_was_killed(run: RunFolder, driver: subprocess.Popen[str]) -> None:
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert RunState.read(run).status == "died"
    with Ownership.acquire(run) as owner:
        assert owner.generation == 2
        before = list(read_journal(run.journal))
        writer = JournalWriter(run.journal, guard=owner.check)
        writer.append({"e": "note", "kind": "test", "by": "second"})
        writer.close()
        assert list(read_journal(run.journal))[:-1] == before


def test_a_stopped_one_that_was_overtaken_writes_nothing_more(
    run: RunFolder, driver: subprocess.Popen[str], wait_until: Wait
) -> None:
    driver.send_signal(signal.SIGSTOP)

    def silent() -> bool:
        try:
            Ownership.acquire(run, stale_after=0.5).release()
        except RecordError:
            return False
        return True

    wait_until(silent)
    owner = Ownership.acquire(run)
    writer = JournalWriter(run.journal, guard=owner.check)
    writer.append({"e": "note", "kind": "test", "by": "second", "i": 0})
    writer.flush()
    before = list(read_journal(run.journal))
    driver.send_signal(signal.SIGCONT)
    told, _ = driver.communicate()
    assert driver.returncode == 2
    assert told.endswith(f" has taken over the run {run.id}; this process writes nothing more\n")
    assert list(read_journal(run.journal)) == before
    writer.append({"e": "note", "kind": "test", "by": "second", "i": 1})
    writer.close()
    assert [entry["by"] for entry in list(read_journal(run.journal))[-2:]] == ["second", "second"]
    holder = holder_of(run)
    assert holder is not None
    assert holder.generation == owner.generation
    owner.release()
