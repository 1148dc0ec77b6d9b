"""The driver lock: one process drives a run, and who takes over is never in doubt.

The lock is a file a generation, ``driver/000001.json``, made with ``O_EXCL``: of two that want the same generation one
gets it, on any file system. The highest number holds the run. Its holder touches the file every ten seconds. No file
lock is involved, and nothing has to be unlocked after a crash.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from metis_flow.errors import RecordError
from metis_flow.record import files
from metis_flow.record.folder import RunFolder
from metis_flow.units import format_duration

TOUCH_EVERY = 10.0
STALE_AFTER = 60.0
_NAME = re.compile(r"(\d{6})\.json")
_STARTED = 19  # field 22 of /proc/PID/stat, counted from the state


@dataclass(frozen=True)
class Holder:
    """The process that drives a run, or did.

    Attributes:
        host, pid: None while its file is still being written.
        began: when that process started, in clock ticks since the machine's boot; tells a reused pid apart.
        place: the boot of the machine and the process namespace in which `pid` means something.
        touched: unix seconds of its last sign of life; 0 once it has let go of the run.
    """

    generation: int
    host: str | None
    pid: int | None
    began: str | None
    place: str | None
    touched: float

    def gone(self, now: float, *, stale_after: float = STALE_AFTER) -> bool:
        """Whether the run is free: its process is dead (where that can be seen from here), or silent for too long."""
        if now - self.touched > stale_after:
            return True
        if self.pid is None or self.host != socket.gethostname() or self.place != _place():
            return False
        return _is_dead(self.pid, self.began)

    def who(self) -> str:
        return "another process" if self.pid is None else f"process {self.pid} on {self.host}"


def holder_of(folder: RunFolder) -> Holder | None:
    """Who drives a run, or drove it last; None if nobody ever did."""
    try:
        names = [match for match in map(_NAME.fullmatch, os.listdir(folder.driver)) if match]
    except FileNotFoundError:
        return None
    if not names:
        return None
    generation = max(int(match[1]) for match in names)
    path = _lock_path(folder, generation)
    touched = path.lstat().st_mtime
    with files.open_plain(path) as file:
        text = file.read()
    try:
        data = json.loads(text)
        return Holder(generation, data["host"], data["pid"], data["began"], data["place"], touched)
    except (ValueError, KeyError, TypeError):
        # It was made a moment ago, or its maker died while writing it; then its age frees it.
        return Holder(generation, None, None, None, None, touched)


class Ownership:
    """The right to drive a run, held by this process until it is released or another one takes over.

    Args:
        folder: the run.
        generation: counts the processes that have driven this run, from 1.
        clock: gives unix seconds.
        touch_every: seconds between two signs of life.
    """

    def __init__(self, folder: RunFolder, generation: int, *, clock: Callable[[], float], touch_every: float) -> None:
        self.folder = folder
        self.generation = generation
        self._clock = clock
        self._touch_every = touch_every
        self._path = _lock_path(folder, generation)
        self._next = _lock_path(folder, generation + 1)
        self._ended = threading.Event()
        self._touch()
        self._thread = threading.Thread(target=self._keep_touching, name="driver lock", daemon=True)
        self._thread.start()

    @classmethod
    def acquire(
        cls,
        folder: RunFolder,
        *,
        clock: Callable[[], float] = time.time,
        touch_every: float = TOUCH_EVERY,
        stale_after: float = STALE_AFTER,
    ) -> Ownership:
        """Become the driver of a run.

        Args:
            clock: gives unix seconds.
            touch_every: seconds between two signs of life.
            stale_after: seconds without one after which another driver counts as gone.

        Raises:
            RecordError: another process drives it; the text names its host and pid.
        """
        files.make_private_folder(folder.driver, exist_ok=True)
        while True:
            holder = holder_of(folder)
            now = clock()
            if holder is not None and not holder.gone(now, stale_after=stale_after):
                raise _refusal(folder, holder, now)
            generation = 1 if holder is None else holder.generation + 1
            try:
                files.write_new(_lock_path(folder, generation), _described())
            except FileExistsError:
                continue  # somebody else was faster: now ask about that one
            except OSError as error:
                raise RecordError(
                    f"the lock of the run {folder.id} cannot be written: {error.strerror}",
                    where=str(folder.driver),
                    hint="nothing was changed; resume the run when there is room again",
                ) from None
            files.sync_folder(folder.driver)
            return cls(folder, generation, clock=clock, touch_every=touch_every)

    def check(self) -> None:
        """Do nothing while this process is the driver.

        Raises:
            RecordError: another process has taken over.
        """
        try:
            self._next.lstat()
        except FileNotFoundError:
            return
        holder = holder_of(self.folder)
        who = "another process" if holder is None else holder.who()
        raise RecordError(
            f"{who} has taken over the run {self.folder.id}; this process writes nothing more",
            hint="it gave no sign of life for too long and so counted as gone; `metis-flow status` shows the run",
        )

    def release(self) -> None:
        """Let go of the run. Harmless when that has happened already, or another process has taken over."""
        self._ended.set()
        self._thread.join()
        # No byte is written for it: this has to work on a full disk too.
        os.utime(self._path, (0, 0))

    def __enter__(self) -> Ownership:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _keep_touching(self) -> None:
        while not self._ended.wait(self._touch_every):
            # A file system that is away for a while is met by the journal too, which says so.
            with contextlib.suppress(OSError):
                self._touch()

    def _touch(self) -> None:
        now = self._clock()
        os.utime(self._path, (now, now))


def _lock_path(folder: RunFolder, generation: int) -> Path:
    return folder.driver / f"{generation:06d}.json"


def _described() -> bytes:
    stat = _process_stat(os.getpid())
    data = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "began": stat and stat[_STARTED],
        "place": _place(),
        "started": time.time(),
    }
    return json.dumps(data).encode() + b"\n"


def _place() -> str:
    """Where a pid of this process means something: this boot of this machine, and the process namespace."""
    parts = []
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _process_stat(pid: int) -> list[str] | None:
    """What the system tells about a process, from its state on; None where it tells nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _is_dead(pid: int, began: str | None) -> bool:
    stat = _process_stat(pid)
    if stat is None:
        return not _alive(pid)
    # A zombie has ended, though its parent has not asked for its exit code yet.
    return stat[0] in "ZX" or (began is not None and stat[_STARTED] != began)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _refusal(folder: RunFolder, holder: Holder, now: float) -> RecordError:
    silent = format_duration(max(now - holder.touched, 0))
    return RecordError(
        f"the run {folder.id} is being driven by {holder.who()}",
        hint=f"its last sign of life was {silent} ago; "
        "`metis-flow status` shows how it goes on, `metis-flow cancel` stops it, "
        f"and it counts as gone after {format_duration(STALE_AFTER)} without one",
    )
