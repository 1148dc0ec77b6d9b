"""What a command takes, with all processes that it starts and that these start.

A small process stands between the benchmark and the command. It adopts what the command leaves behind, so that
everything is waited for and counted, and ends it all where the time is up or the benchmark goes away.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

_EVERY = 0.1
"""Seconds between two looks at the tree."""
_LEFT_BEHIND = 2.0
"""Seconds that processes may live on after the command."""
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Used:
    """What a command and its descendants took.

    Attributes:
        code: its exit code; -9 where it was ended.
        began: by `time.monotonic`.
        seconds: until the command itself ended.
        cpu: seconds of all processes, in user and system mode.
        megabytes: of all processes at a time, at most. Pages that several share are counted once. That of the biggest
            process is exact; sums are seen ten times a second.
        processes: at a time, at most.
        timed_out: the time was up.
        left_behind: processes that had to be ended after the command.
        looks: pairs of a time and the CPU seconds until then.
    """

    code: int
    began: float
    seconds: float
    cpu: float
    megabytes: float
    processes: int
    timed_out: bool = False
    left_behind: int = 0
    looks: Sequence[tuple[float, float]] = field(default=(), repr=False)

    def cpu_until(self, moment: float) -> float:
        """CPU seconds until a time of `time.monotonic`, between two looks by the rule of three."""
        before = (self.began, 0.0)
        for look in [*self.looks, (self.began + self.seconds, self.cpu)]:
            if look[0] >= moment:
                share = (moment - before[0]) / max(look[0] - before[0], 1e-9)
                return before[1] + max(0.0, share) * (look[1] - before[1])
            before = look
        return self.cpu


def run_watched(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], seconds: float, output: Path
) -> Used:
    """Run a command to its end.

    Args:
        command: and its arguments.
        folder: where it runs.
        environment: all of it.
        seconds: after which it is ended.
        output: the file that what it says goes to.
    """
    with output.open("wb") as said:
        watcher = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, str(seconds), str(os.getpid()), *command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )
        try:
            told, _ = watcher.communicate()
        finally:
            if watcher.poll() is None:
                watcher.terminate()
                watcher.wait()
    if watcher.returncode:
        raise RuntimeError(f"the process that watches {command[0]} ended with {watcher.returncode}")
    return Used(**json.loads(told))


class _Watch:
    """The process in between."""

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        self._looks: list[tuple[float, float]] = []
        self._megabytes = 0.0
        self._processes = 0
        self._ended: tuple[float, int] | None = None
        self._began = time.monotonic()
        self._until = self._began + seconds
        # Standard output is for what is measured; the command's own goes where its errors go.
        self._command = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno())
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})

    def run(self) -> Used:
        """Watch until nothing is left."""
        timed_out, killed, wait = False, set[int](), 0.0
        while self._some_are_left():
            began, cpu = time.monotonic(), time.process_time()
            if began >= self._until:
                timed_out = timed_out or self._ended is None
                killed |= kill_all(os.getpid())
                wait = _EVERY
            elif wait <= 0:
                self._look()
                # Where a look is dear, it is taken less often.
                wait = max(_EVERY, 20 * (time.process_time() - cpu))
            signal.sigtimedwait({signal.SIGCHLD}, min(wait, _EVERY))
            wait -= time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        moment, code = self._ended or (time.monotonic(), -signal.SIGKILL)
        return Used(
            code=code,
            began=self._began,
            seconds=moment - self._began,
            cpu=used.ru_utime + used.ru_stime,
            megabytes=max(self._megabytes, used.ru_maxrss / 1024),
            processes=self._processes,
            timed_out=timed_out,
            left_behind=0 if timed_out else len(killed),
            looks=self._looks,
        )

    def _some_are_left(self) -> bool:
        """Take up those that ended."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return True
                if pid == self._command.pid:
                    now = time.monotonic()
                    self._ended = now, os.waitstatus_to_exitcode(status)
                    self._until = min(self._until, now + _LEFT_BEHIND)
        except ChildProcessError:
            return False

    def _look(self) -> None:
        tree = descendants(os.getpid())
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = ended.ru_utime + ended.ru_stime + sum(tree.values()) / _TICKS
        self._looks.append((time.monotonic(), cpu))
        self._processes = max(self._processes, len(tree))
        if len(tree) > 1:
            self._megabytes = max(self._megabytes, sum(map(_megabytes, tree)))


def descendants(root: int) -> dict[int, int]:
    """The CPU ticks of each process below one, with those of its children that ended."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                # A process may be called anything, brackets included.
                words = _read(f"/proc/{name}/stat").rpartition(b")")[2].split(None, 15)
                parents[int(name)] = int(words[1])
                ticks[int(name)] = sum(map(int, words[11:15]))
    return {pid: ticks[pid] for pid in parents if _is_below(pid, root, parents)}


def _is_below(pid: int, root: int, parents: Mapping[int, int]) -> bool:
    above = parents[pid]
    while above in parents and above != root:
        above = parents[above]
    return above == root


def _megabytes(pid: int) -> float:
    """What a process holds; of what it shares, its share."""
    with contextlib.suppress(OSError):
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


def kill_all(root: int) -> set[int]:
    """Kill all processes below one; their ids."""
    pids = set(descendants(root))
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


def _end(*_: object) -> None:
    """The benchmark has gone or wants no more: so does all that it started."""
    while kill_all(os.getpid()):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)
    os._exit(1)


def main() -> None:
    """Stand between the benchmark, whose id is the second argument, and a command."""
    seconds, parent, *command = sys.argv[1:]
    signal.signal(signal.SIGTERM, _end)
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_SET_PDEATHSIG, signal.SIGTERM), (_SET_CHILD_SUBREAPER, 1)):
        if libc.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != int(parent):
        sys.exit(1)
    json.dump(asdict(_Watch(command, float(seconds)).run()), sys.stdout)


if __name__ == "__main__":
    main()
