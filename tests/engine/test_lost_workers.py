"""A worker process, or the manager of all of them, that is killed in the middle of a step."""

from __future__ import annotations

import os
import signal
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from engine_kit import Bench, entries, rows

from metis_flow.api import Run

FUNCTIONS = """
    def once_slow(pids, n):
        import os, time
        try:
            descriptor = os.open(pids, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return n
        os.write(descriptor, str(os.getpid()).encode())
        os.close(descriptor)
        time.sleep(600)
"""


# Each time it runs, the script notes itself and the worker that runs it. The first time it would never end.
# It begins with a pause: a worker that is killed in the very moment of starting a script cannot tell its guard.
SCRIPT = """
    sleep 1
    echo "$$ $PPID" >> "$PIDS"
    [ "$(wc -l < "$PIDS")" -gt 1 ] || sleep 600
    echo "$N"
"""
SITE = "executors: {processes: {kind: processes, workers: 2, heartbeat_threshold: 3}}\n"


def kill_when_there(path: Path, stop: threading.Event, *, above: int = 0) -> None:
    """Kill the last process that a file notes in its first line, or one so many generations above it."""
    while not stop.wait(0.02):
        if path.exists() and path.read_text().endswith(("\n", *"0123456789")):
            found = psutil.Process(int(path.read_text().split("\n")[0].split()[-1]))
            for _ in range(above):
                found = found.parent() or found
            os.kill(found.pid, signal.SIGKILL)
            return


@contextmanager
def killing(path: Path, *, above: int = 0) -> Iterator[None]:
    """Have the process killed as soon as it is known."""
    stop = threading.Event()
    killer = threading.Thread(target=kill_when_there, args=(path, stop), kwargs={"above": above})
    killer.start()
    try:
        yield
    finally:
        stop.set()
        killer.join()


def is_gone(pid: int) -> bool:
    """Whether a process has ended, or does so within some seconds."""
    until = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.timeout(60)
def test_an_instance_whose_worker_is_killed_is_run_again(bench: Bench, tmp_path: Path) -> None:
    bench.write("work.py", FUNCTIONS)
    pids = tmp_path / "pid"
    with killing(pids):
        run = bench.run(
            f"""
            steps:
              a: {{foreach: [1, 2, 3], python: "work:once_slow", with: {{pids: "{pids}", n: "${{{{ item }}}}"}}}}
            outputs: {{a: "${{{{ steps.a.outputs }}}}"}}
            """,
            site="local-processes",
        )
    assert run.status == "done"
    assert run.outputs == {"a": [1, 2, 3]}
    assert sorted(entry["attempt"] for entry in entries(run, "done", "a")) == [1, 1, 2]
    assert all(row["status"] == "done" for row in rows(run, "a").values())


def scripts(bench: Bench, pids: Path) -> Run:
    """Run a step of scripts that note themselves."""
    site = bench.write("mine.yaml", SITE)
    script = textwrap.indent(textwrap.dedent(SCRIPT), " " * 8)
    steps = f"steps:\n  a:\n    foreach: [1]\n    env: {{PIDS: '{pids}', N: '${{{{ item }}}}'}}\n    run: |\n{script}"
    return bench.run(f"{steps}\noutputs: {{a: '${{{{ steps.a.outputs }}}}'}}\n", site=str(site))


@pytest.mark.timeout(60)
def test_a_script_ends_with_its_worker_and_runs_again_alone(bench: Bench, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with killing(pids):
        run = scripts(bench, pids)
    assert run.status == "done", run.state
    assert run.outputs == {"a": ["1"]}
    first, again = (int(line.split()[0]) for line in pids.read_text().splitlines())
    assert first != again
    assert is_gone(first)


@pytest.mark.timeout(90)
def test_an_instance_whose_manager_is_killed_is_run_again(bench: Bench, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with killing(pids, above=1):
        run = scripts(bench, pids)
    assert run.status == "done", run.state
    assert run.outputs == {"a": ["1"]}
    first, worker = map(int, pids.read_text().splitlines()[0].split())
    assert is_gone(first)
    assert is_gone(worker)
    assert [entry["error"]["kind"] for entry in entries(run, "failed", "a")] == ["worker_lost"]
