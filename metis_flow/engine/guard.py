"""Ends the scripts that a process has started, when the process itself is killed and cannot.

A script runs in a session of its own, so that its whole group can be ended; for the same reason it outlives a worker
that is killed, and would write into the folder where the next attempt runs. So each process that starts scripts has a
small shell beside it, which reads what runs from a pipe. The pipe ends when the process does, however it ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading

# `+ GROUP` when a script starts, `- GROUP` when it has ended; what is left at the end of the pipe is killed.
_SHELL = """
groups=
while read -r what group; do
  if [ "$what" = + ]; then
    groups="$groups $group"
  else
    left=
    for one in $groups; do [ "$one" = "$group" ] || left="$left $one"; done
    groups=$left
  fi
done
for one in $groups; do kill -s KILL -- "-$one"; done 2>/dev/null
"""


class Guard:
    """The shell that ends the scripts of one process when that process is gone. It is there while any script runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shell: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()

    def prepare(self) -> None:
        """Have the shell there before the first script starts, which would be on its own meanwhile."""
        with self._lock:
            self._start()

    def watch(self, group: int) -> None:
        """A script has started."""
        with self._lock:
            self._groups.add(group)
            self._tell("+", group)

    def forget(self, group: int) -> None:
        """A script has ended."""
        with self._lock:
            if group in self._groups:
                self._groups.discard(group)
                self._tell("-", group)

    def close(self) -> None:
        """End the shell, unless scripts still run."""
        with self._lock:
            if self._shell is None or self._groups:
                return
            shell, self._shell = self._shell, None
        assert shell.stdin is not None
        with contextlib.suppress(OSError):
            shell.stdin.close()
        shell.wait()

    def _tell(self, what: str, group: int) -> None:
        pipe = self._start().stdin
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            pipe.write(f"{what} {group}\n".encode())

    def _start(self) -> subprocess.Popen[bytes]:
        if self._shell is None:
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SHELL],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what ends this process's group must not end the guard first
                bufsize=0,
            )
        return self._shell


def end_group(group: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process group that may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
