"""A worker process that is killed in the middle of a step."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from engine_kit import Bench, entries, rows

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


def kill_when_there(path: Path, stop: threading.Event) -> None:
    """Kill the process that notes itself in a file."""
    while not stop.wait(0.02):
        if path.exists() and path.read_text():
            os.kill(int(path.read_text()), signal.SIGKILL)
            return


@pytest.mark.timeout(60)
def test_an_instance_whose_worker_is_killed_is_run_again(bench: Bench, tmp_path: Path) -> None:
    bench.write("work.py", FUNCTIONS)
    pids, stop = tmp_path / "pid", threading.Event()
    killer = threading.Thread(target=kill_when_there, args=(pids, stop))
    killer.start()
    try:
        run = bench.run(
            f"""
            steps:
              a: {{foreach: [1, 2, 3], python: "work:once_slow", with: {{pids: "{pids}", n: "${{{{ item }}}}"}}}}
            outputs: {{a: "${{{{ steps.a.outputs }}}}"}}
            """,
            site="local-processes",
        )
    finally:
        stop.set()
        killer.join()
    assert run.status == "done"
    assert run.outputs == {"a": [1, 2, 3]}
    assert sorted(entry["attempt"] for entry in entries(run, "done", "a")) == [1, 1, 2]
    assert all(row["status"] == "done" for row in rows(run, "a").values())
