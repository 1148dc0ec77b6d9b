"""What is counted of a command and of all that it starts, and that nothing of it is left behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.process_tree import Used, run_watched

BURN = "import time, sys\\nheld = bytes(range(256)) * 400_000\\nwhile time.process_time() < 0.4: pass"
START = "import subprocess, sys\n"


def watched(folder: Path, source: str, seconds: float = 60) -> Used:
    command = [sys.executable, "-c", source]
    return run_watched(command, folder=folder, environment=os.environ, seconds=seconds, output=folder / "said.txt")


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_command_is_run_and_what_it_says_is_kept(tmp_path: Path) -> None:
    used = watched(tmp_path, "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)")
    assert (used.code, used.timed_out, used.left_behind) == (3, False, 0)
    assert (tmp_path / "said.txt").read_text() == "out\nerr\n"


def test_processes_of_processes_are_counted(tmp_path: Path) -> None:
    inner = f"{START}subprocess.run([sys.executable, '-c', '''{BURN}'''])"
    used = watched(tmp_path, f"{START}subprocess.run([sys.executable, '-c', {inner!r}])")
    assert used.cpu >= 0.4
    assert used.megabytes >= 100
    assert used.processes == 3
    assert used.cpu_until(used.began) == 0
    assert used.cpu_until(used.began + used.seconds) <= used.cpu


def test_one_that_is_not_waited_for_is_counted_too(tmp_path: Path) -> None:
    used = watched(tmp_path, f"{START}subprocess.Popen([sys.executable, '-c', '''{BURN}'''], start_new_session=True)")
    assert used.cpu >= 0.4
    assert (used.code, used.left_behind) == (0, 0)


def test_what_is_left_behind_is_ended_and_told(tmp_path: Path) -> None:
    used = watched(tmp_path, f"{START}print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)")
    assert (used.code, used.left_behind, used.timed_out) == (0, 1, False)
    assert not lives(int((tmp_path / "said.txt").read_text()))


def test_all_is_ended_when_the_time_is_up(tmp_path: Path) -> None:
    source = f"{START}child = subprocess.Popen(['sleep', '600'])\nprint(child.pid, flush=True)\nchild.wait()"
    used = watched(tmp_path, source, seconds=1)
    assert (used.code, used.timed_out) == (-9, True)
    assert not lives(int((tmp_path / "said.txt").read_text()))


def test_cpu_between_two_looks_is_told_by_the_rule_of_three() -> None:
    used = Used(0, began=100.0, seconds=4.0, cpu=6.0, megabytes=1.0, processes=1, looks=[(101.0, 1.0), (103.0, 5.0)])
    assert [used.cpu_until(moment) for moment in (99, 100, 100.5, 102, 103, 103.5, 200)] == [0, 0, 0.5, 3, 5, 5.5, 6]
