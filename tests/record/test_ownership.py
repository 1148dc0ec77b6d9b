"""Who drives a run: one process, with a clock that the tests move."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import RecordError
from metis_flow.record.folder import RunFolder
from metis_flow.record.ownership import Ownership, holder_of

Spawn = Callable[..., "subprocess.Popen[str]"]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rewrite(run: RunFolder, **changes: Any) -> None:
    """Make the newest lock look as if another process had written it, at the same time."""
    path = max(run.driver.iterdir())
    times = path.stat()
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_free_run_is_taken_and_let_go(run: RunFolder) -> None:
    assert holder_of(run) is None
    with Ownership.acquire(run) as owner:
        owner.check()
        holder = holder_of(run)
        assert holder is not None
        assert (holder.generation, holder.host, holder.pid) == (1, socket.gethostname(), os.getpid())
        assert holder.who() == f"process {os.getpid()} on {socket.gethostname()}"
    with Ownership.acquire(run) as owner:
        assert owner.generation == 2
        owner.release()
    owner.release()


def test_a_live_process_on_this_host_is_not_pushed_aside(run: RunFolder, clock: Clock) -> None:
    owner = Ownership.acquire(run, clock=clock)
    clock.now += 7
    with pytest.raises(RecordError) as caught:
        Ownership.acquire(run, clock=clock)
    assert caught.value.render() == (
        f"the run {run.id} is being driven by process {os.getpid()} on {socket.gethostname()}\n"
        "  hint: its last sign of life was 7.0s ago; `metis-flow status` shows how it goes on, "
        "`metis-flow cancel` stops it, and it counts as gone after 1m00s without one"
    )
    owner.check()
    owner.release()


def test_a_dead_process_on_this_host_frees_the_run_at_once(run: RunFolder, clock: Clock, spawn: Spawn) -> None:
    Ownership.acquire(run, clock=clock).release()
    process = spawn("pass")
    process.wait()
    os.utime(run.driver / "000001.json", (clock.now, clock.now))
    rewrite(run, pid=process.pid)
    assert Ownership.acquire(run, clock=clock).generation == 2


def test_a_process_that_ended_and_was_not_waited_for_is_dead(run: RunFolder, clock: Clock, spawn: Spawn) -> None:
    Ownership.acquire(run, clock=clock).release()
    process = spawn("import sys; sys.stdin.read()")
    stat = Path(f"/proc/{process.pid}/stat")
    os.utime(run.driver / "000001.json", (clock.now, clock.now))
    rewrite(run, pid=process.pid, began=stat.read_text().rpartition(")")[2].split()[19])
    with pytest.raises(RecordError, match=f"is being driven by process {process.pid} on"):
        Ownership.acquire(run, clock=clock)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert Ownership.acquire(run, clock=clock).generation == 2


def test_another_process_with_the_same_pid_does_not_hold_the_run(run: RunFolder, clock: Clock) -> None:
    Ownership.acquire(run, clock=clock)
    rewrite(run, began="1")
    assert Ownership.acquire(run, clock=clock).generation == 2


@pytest.mark.parametrize("elsewhere", [{"host": "n0042"}, {"place": "another boot, or a container"}])
def test_from_elsewhere_a_minute_of_silence_frees_the_run(
    run: RunFolder, clock: Clock, elsewhere: dict[str, str]
) -> None:
    Ownership.acquire(run, clock=clock)
    rewrite(run, pid=2**22 + 1, **elsewhere)
    for silent in (0.0, 30.0, 60.0):
        clock.now = 1_000_000.0 + silent
        with pytest.raises(RecordError, match=f"is being driven by process {2**22 + 1} on"):
            Ownership.acquire(run, clock=clock)
    clock.now = 1_000_060.1
    assert Ownership.acquire(run, clock=clock).generation == 2


def test_a_clock_that_is_behind_the_holders_does_not_free_the_run(run: RunFolder, clock: Clock) -> None:
    Ownership.acquire(run, clock=clock)
    rewrite(run, host="n0042")
    clock.now -= 500
    with pytest.raises(RecordError, match=r"on n0042") as caught:
        Ownership.acquire(run, clock=clock)
    assert str(caught.value.hint).startswith("its last sign of life was 0ms ago;")


def test_a_sign_of_life_is_given_again_and_again(
    run: RunFolder, clock: Clock, wait_until: Callable[[Callable[[], object]], None]
) -> None:
    owner = Ownership.acquire(run, clock=clock, touch_every=0.01)
    clock.now += 50

    def touched() -> bool:
        holder = holder_of(run)
        return holder is not None and holder.touched == clock.now

    wait_until(touched)
    owner.release()
    clock.now += 50
    assert not touched()


def test_who_was_silent_for_too_long_is_told_who_took_over(run: RunFolder, clock: Clock) -> None:
    first = Ownership.acquire(run, clock=clock)
    clock.now += 61
    second = Ownership.acquire(run, clock=clock)
    assert second.generation == 2
    second.check()
    with pytest.raises(RecordError) as caught:
        first.check()
    assert caught.value.render() == (
        f"process {os.getpid()} on {socket.gethostname()} has taken over the run {run.id}; "
        "this process writes nothing more\n"
        "  hint: it gave no sign of life for too long and so counted as gone; `metis-flow status` shows the run"
    )
    first.release()
    second.check()
    with pytest.raises(RecordError, match="is being driven by"):
        Ownership.acquire(run, clock=clock)
    second.release()
    with pytest.raises(RecordError, match="has taken over"):
        first.check()


def test_a_lock_that_is_still_being_written_counts_as_held_until_it_is_old(run: RunFolder, clock: Clock) -> None:
    (run.driver / "000001.json").write_text('{"host": ')
    os.utime(run.driver / "000001.json", (clock.now, clock.now))
    with pytest.raises(RecordError, match=f"^the run {run.id} is being driven by another process$"):
        Ownership.acquire(run, clock=clock)
    clock.now += 61
    assert Ownership.acquire(run, clock=clock).generation == 2


def test_of_many_that_want_a_run_one_gets_it(run: RunFolder) -> None:
    results: list[object] = []
    barrier = threading.Barrier(8)

    def want() -> None:
        barrier.wait()
        try:
            results.append(Ownership.acquire(run))
        except RecordError as error:
            results.append(error)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(result, Ownership) for result in results) == 1
    assert len(results) == 8


def test_letting_go_needs_no_room_on_the_disk(run: RunFolder) -> None:
    owner = Ownership.acquire(run)
    before = (run.driver / "000001.json").read_bytes()
    owner.release()
    assert (run.driver / "000001.json").read_bytes() == before
    holder = holder_of(run)
    assert holder is not None
    assert holder.gone(10_000.0)


def test_a_lock_that_does_not_fit_on_the_disk_is_not_left_half_written(
    run: RunFolder, small_files: Callable[[int | None], None]
) -> None:
    Ownership.acquire(run).release()
    small_files(20)
    with pytest.raises(RecordError) as caught:
        Ownership.acquire(run)
    small_files(None)
    assert caught.value.render() == (
        f"{run.driver}: the lock of the run {run.id} cannot be written: File too large\n"
        "  hint: nothing was changed; resume the run when there is room again"
    )
    with Ownership.acquire(run) as owner:
        assert owner.generation == 2
