"""The journal of a run: what was answered and what came of it, durable before anything uses it.

JSON Lines in numbered segments. One writer; any number of readers, also on other machines, while it writes.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metis_flow.errors import RecordError
from metis_flow.record import index as indexes
from metis_flow.record import lines
from metis_flow.record.files import PRIVATE_FILE, make_private_folder, sync_folder, write_all
from metis_flow.record.index import SegmentIndex
from metis_flow.record.last_entries import joined
from metis_flow.record.segments import JOURNAL_VERSION, Segment, header_line, segment_path, segments

__all__ = ["JOURNAL_VERSION", "JournalWriter", "read_journal"]

SEGMENT_BYTES = 16 * 2**20
_COMMIT_BYTES = 2**20


def read_journal(folder: Path) -> Iterator[dict[str, Any]]:
    """All entries in order, from a folder of segments (``RunFolder.journal``).

    What the writer has not finished yet, or a crash left half-written at the very end, is not there.

    Raises:
        RecordError: the journal is damaged; the text names file and line.
    """
    for segment in segments(folder):
        for _, entry, _ in segment.read():
            yield entry


@dataclass
class Written:
    """An entry that was taken to be written.

    Attributes:
        place: where it is, once it is durable; see `metis_flow.record.last_entries.joined`.
    """

    place: int = field(default=-1, kw_only=True)


@dataclass
class _Waiting(Written):
    body: bytes
    entry: dict[str, Any]
    on_durable: Callable[[], None] | None


class JournalWriter:
    """The one writer of a journal. Any thread may append; a thread of its own makes what has gathered durable.

    A writer begins a segment of its own with its first entry, so what another one left is never touched.

    A full disk, and any other `OSError`, is waited out: the entries stay in memory, the half-written ones are taken
    off the file, and the writer tries again every `retry_seconds`. Any other error of the guard is final.

    Args:
        folder: the folder of segments; made when it is not there.
        segment_bytes: a segment is finished, and the next one begun, once it is longer than this.
        guard: called before each commit, and again before its entries count as durable. A guard that raises stops the
            writer for good, except with an `OSError`.
        on_trouble: called on the writer's thread with the error when it begins to wait or stops for good, and with
            None when it goes on.
        retry_seconds: between two tries.

    Attributes:
        folder: the folder of segments.
        failure: why nothing gets durable at the moment, or for good; None while all is well.

    Raises:
        RecordError: the journal that is there already is damaged.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        guard: Callable[[], None] | None = None,
        on_trouble: Callable[[BaseException | None], None] | None = None,
        retry_seconds: float = 1.0,
    ) -> None:
        self.failure: BaseException | None = None
        self.folder = self._folder = folder
        self._segment_bytes = segment_bytes
        self._guard = guard
        self._on_trouble = on_trouble
        self._retry_seconds = retry_seconds

        make_private_folder(folder, exist_ok=True)
        self._number, self._prior = _settle_earlier(folder)
        self._descriptor: int | None = None
        self._created = False
        self._header = b""
        self._end = 0
        self._index = SegmentIndex()

        # The condition guards what follows; everything above belongs to the writer's thread.
        self._changed = threading.Condition()
        self._pending: deque[_Waiting] = deque()
        self._appended = 0
        self._durable = 0
        self._idle = False
        self._closing = False
        self._stopped = False
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def append(self, entry: Mapping[str, Any], on_durable: Callable[[], None] | None = None) -> Written:
        """Take an entry to be written; returns at once.

        Args:
            entry: JSON, with its kind under ``e``; ``t`` (unix seconds) is added if missing. It may be changed
                afterwards: what is written is as it was now.
            on_durable: called on the writer's thread, in the order of the entries, once this one is on the disk.

        Raises:
            RecordError: JSON has no form for something in the entry, or the writer was closed.
            ValueError: the entry lacks a field that its kind needs.
            BaseException: what stopped the writer for good.
        """
        indexes.check_shape(entry)
        whole = {**entry} if "t" in entry else {**entry, "t": time.time()}
        waiting = _Waiting(lines.encode(whole), whole, on_durable)
        with self._changed:
            if self._stopped and self.failure is not None:
                raise self.failure
            if self._closing:
                raise RecordError("the journal was closed already", where=str(self._folder))
            self._pending.append(waiting)
            self._appended += 1
            if self._idle:
                self._changed.notify_all()
        return waiting

    def flush(self, timeout: float | None = None) -> None:
        """Return when all that was appended is durable, and its callbacks have run.

        Args:
            timeout: seconds to wait at most; None waits for as long as the disk is full.

        Raises:
            TimeoutError: something is not durable yet.
            BaseException: what stopped the writer for good.
        """
        with self._changed:
            wanted = self._appended
            if not self._changed.wait_for(lambda: self._durable >= wanted or self._stopped, timeout):
                raise TimeoutError(f"{wanted - self._durable} entries of the journal are not durable yet")
            if self._durable < wanted and self.failure is not None:
                raise self.failure

    def close(self, timeout: float | None = None) -> None:
        """Make all durable and end. Closing twice is harmless.

        Args:
            timeout: seconds to wait at most while the disk is full; None waits for as long as it is.

        Raises:
            RecordError: entries were given up after `timeout`; its text says how many and why.
            BaseException: what stopped the writer for good, if it left entries unwritten.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        self._given_up.set()
        self._thread.join()
        lost = self._appended - self._durable
        if not lost:
            return
        if isinstance(self.failure, OSError):
            raise RecordError(
                f"{lost} entries of the journal could not be written: {self.failure.strerror}",
                where=str(self._folder),
                hint="free some space and resume the run; only what these entries held is done again",
            ) from self.failure
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                if not self._store(batch):
                    return
            self._finish()
        except BaseException as error:
            self._trouble(error)
            raise
        finally:
            if self._descriptor is not None:
                os.close(self._descriptor)
            with self._changed:
                self._stopped = True
                self._changed.notify_all()

    def _next_batch(self) -> list[_Waiting]:
        """What has gathered, up to about a megabyte; empty when the writer was closed and all is written."""
        with self._changed:
            self._idle = True
            self._changed.wait_for(lambda: self._pending or self._closing)
            self._idle = False
            batch: list[_Waiting] = []
            size = 0
            while self._pending and size < _COMMIT_BYTES:
                batch.append(self._pending.popleft())
                size += len(batch[-1].body)
            return batch

    def _store(self, batch: list[_Waiting]) -> bool:
        """Commit until it works; False when the writer has to stop."""
        while True:
            try:
                self._commit(batch)
            except OSError as error:
                self._trouble(error)
                self._abandon_file()
                if self._given_up.wait(self._retry_seconds):
                    return False
            except BaseException as error:
                self._trouble(error)
                return False
            else:
                break
        self._trouble(None)
        for waiting in batch:
            if waiting.on_durable is not None:
                self._tell(waiting.on_durable)
                waiting.on_durable = None  # it mostly leads back to who holds this entry: a cycle
        with self._changed:
            self._durable += len(batch)
            self._changed.notify_all()
        if self._end >= self._segment_bytes:
            self._finish_segment()
        return True

    def _commit(self, batch: list[_Waiting]) -> None:
        if self._guard is not None:
            self._guard()
        descriptor = self._open_segment()
        places: list[int] = []
        data: list[bytes] = []
        end = self._end
        for waiting in batch:
            places.append(end)
            data.append(lines.sealed(waiting.body, end))
            end += len(data[-1])
        write_all(descriptor, b"".join(data))
        os.fsync(descriptor)
        # The process may have been stopped since the first check, and another have taken over. If we are the newest
        # even now, whoever comes next will find these entries; if not, they lie behind the end it wrote down.
        if self._guard is not None:
            self._guard()
        for waiting, place in zip(batch, places, strict=True):
            self._index.add(waiting.entry, place)
            waiting.place = joined(self._number - 1, place)
        self._end = self._index.end = end

    def _open_segment(self) -> int:
        """The segment, opened at its last good end; begun if need be."""
        if self._descriptor is None:
            path = segment_path(self._folder, self._number)
            flags = os.O_WRONLY | os.O_NOFOLLOW | (0 if self._created else os.O_CREAT | os.O_EXCL)
            try:
                self._descriptor = os.open(path, flags, PRIVATE_FILE)
            except FileExistsError:
                raise RecordError(
                    "another process writes this journal",
                    where=str(path),
                    hint="a run has one driver at a time; see `metis-flow status`",
                ) from None
            self._created = True
            os.fchmod(self._descriptor, PRIVATE_FILE)
            os.ftruncate(self._descriptor, self._end)
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
        if self._end == 0:
            self._header = header_line(self._number, self._prior, time.time())
            write_all(self._descriptor, self._header)
            os.fsync(self._descriptor)
            sync_folder(self._folder)
            self._end = len(self._header)
        return self._descriptor

    def _abandon_file(self) -> None:
        """Close after an error. After a failed fsync only a file opened anew says truly what is on the disk."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _finish(self) -> None:
        try:
            if self._guard is not None:
                self._guard()
        except Exception as error:
            self._trouble(error)
        else:
            self._finish_segment()

    def _finish_segment(self) -> None:
        """Close the segment and leave its index beside it; the next entry begins a new one."""
        if self._end == 0:
            return
        self._abandon_file()
        segment = Segment(segment_path(self._folder, self._number), self._number, self._header, self._end)
        try:
            indexes.store(segment, self._index)
        except OSError as error:
            # Nothing is lost: an index is derived, and the next writer makes it.
            self._trouble(error)
            self._trouble(None)
        self._prior, self._number = self._end, self._number + 1
        self._created, self._end, self._index = False, 0, SegmentIndex()

    def _trouble(self, error: BaseException | None) -> None:
        before, self.failure = self.failure, error
        if self._on_trouble is not None and repr(error) != repr(before):
            on_trouble = self._on_trouble
            self._tell(lambda: on_trouble(error))

    def _tell(self, callback: Callable[[], None]) -> None:
        """Call back; an error there is reported as any thread's is, and does not end the journal."""
        try:
            callback()
        except BaseException as error:
            arguments = (type(error), error, error.__traceback__, threading.current_thread())
            threading.excepthook(threading.ExceptHookArgs(arguments))


def _settle_earlier(folder: Path) -> tuple[int, int]:
    """Prepare a journal for its next writer.

    Returns:
        The number of the next segment, and how many bytes of the one before are valid.
    """
    earlier = segments(folder)
    prior = 0
    for segment in earlier:
        index = indexes.load(segment)
        if index is None:
            index = indexes.fold(segment)
            # It is derived: on a full disk, or in a folder that only may be read, one goes on without it.
            with contextlib.suppress(OSError):
                indexes.store(segment, index)
        prior = index.end
    number = len(earlier) + 1
    # A crash may have left a segment without its first line; nothing in it can be read.
    segment_path(folder, number).unlink(missing_ok=True)
    return number, prior
