"""The journal when things go wrong: torn tails, kill -9, a full disk, a lost lock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import RecordError
from metis_flow.record.journal import JournalWriter, read_journal

Spawn = Callable[..., "subprocess.Popen[str]"]
Wait = Callable[[Callable[[], object]], None]


def note(i: int, **more: Any) -> dict[str, Any]:
    return {"e": "note", "kind": "test", "i": i} | more


def notes(folder: Path) -> list[Any]:
    return [entry["i"] for entry in read_journal(folder)]


def write(folder: Path, *numbers: int) -> None:
    writer = JournalWriter(folder)
    for i in numbers:
        writer.append(note(i))
    writer.close()


@pytest.mark.parametrize("indexed", [True, False])
def test_a_tail_torn_at_any_byte_loses_that_entry_only(tmp_path: Path, indexed: bool) -> None:
    folder = tmp_path / "journal"
    write(folder, 0, 1, 2)
    path, index = folder / "000001.jsonl", folder / "000001.index.json"
    whole = path.read_bytes()
    began = whole.rstrip(b"\n").rindex(b"\n") + 1
    described = index.read_bytes()
    for cut in range(began, len(whole)):
        path.write_bytes(whole[:cut])
        index.write_bytes(described) if indexed else index.unlink(missing_ok=True)
        assert notes(folder) == [0, 1]
        write(folder, 3)
        assert notes(folder) == [0, 1, 3]
        assert path.read_bytes() == whole[:cut]
        for left in folder.glob("000002.*"):
            left.unlink()


def test_a_first_line_torn_at_any_byte_is_no_segment_yet(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    write(folder, 0)
    write(folder, 1)
    second = folder / "000002.jsonl"
    (folder / "000002.index.json").unlink()
    header = second.read_bytes().splitlines(keepends=True)[0]
    for cut in range(len(header)):
        second.write_bytes(header[:cut])
        assert notes(folder) == [0]
        write(folder, 2)
        assert notes(folder) == [0, 2]
        (folder / "000002.index.json").unlink()


def test_blocks_of_zeros_that_a_crash_left_are_a_torn_tail(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    write(folder, 0, 1, 2)
    path = folder / "000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    # The third entry never reached the disk; a piece of the fourth did.
    path.write_bytes(b"".join(lines[:3]) + bytes(len(lines[3]) - 10) + lines[3][-10:] + b'{"e":')
    assert notes(folder) == [0, 1]
    write(folder, 3)
    assert notes(folder) == [0, 1, 3]


def test_what_lies_behind_the_end_that_the_next_writer_wrote_down_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    write(folder, 0)
    write(folder, 1)
    with (folder / "000001.jsonl").open("ab") as late:
        late.write(b'{"e":"note","i":99}\n{"e":')
    assert notes(folder) == [0, 1]
    write(folder, 2)
    assert notes(folder) == [0, 1, 2]


WRITE_FOR_EVER = """
import itertools, sys
from pathlib import Path
from metis_flow.record.journal import JournalWriter

writer = JournalWriter(Path(sys.argv[1]), segment_bytes=20_000)
for i in itertools.count(int(sys.argv[2])):
    writer.append({"e": "note", "i": i, "text": "x" * 300}, lambda i=i: print(i, flush=True))
    if i % 10 == 0:
        writer.flush()
"""


def test_nothing_that_was_durable_is_lost_by_kill_9(tmp_path: Path, spawn: Spawn) -> None:
    folder = tmp_path / "journal"
    begin = 0
    for round_number in range(5):
        process = spawn(WRITE_FOR_EVER, folder, begin)
        assert process.stdout is not None
        for _ in range(100 + 70 * round_number):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        told, errors = process.communicate()
        assert errors == ""
        read = notes(folder)
        assert read == list(range(len(read)))
        numbers = [int(line) for line in told.splitlines(keepends=True) if line.endswith("\n")]
        assert not numbers or read[-1] >= numbers[-1]
        assert len(read) >= begin + 100
        begin = len(read)
    write(folder, begin)
    assert notes(folder) == list(range(begin + 1))


def test_a_file_that_cannot_grow_is_waited_out(
    tmp_path: Path, small_files: Callable[[int | None], None], wait_until: Wait
) -> None:
    folder = tmp_path / "journal"
    troubles: list[BaseException | None] = []
    told: list[int] = []
    writer = JournalWriter(folder, on_trouble=troubles.append, retry_seconds=0.01)
    writer.append(note(0))
    writer.flush()
    small_files(400)
    for i in range(1, 11):
        writer.append(note(i), partial(told.append, i))
    wait_until(lambda: writer.failure is not None)
    with pytest.raises(TimeoutError, match=r"^10 entries of the journal are not durable yet$"):
        writer.flush(timeout=0.1)
    assert told == []
    assert notes(folder)[0] == 0
    small_files(None)
    writer.flush()
    assert writer.failure is None
    assert told == list(range(1, 11))
    writer.close()
    assert notes(folder) == list(range(11))
    assert [type(trouble) for trouble in troubles] == [OSError, type(None)]


def test_a_segment_that_cannot_be_begun_is_waited_out(
    tmp_path: Path, small_files: Callable[[int | None], None], wait_until: Wait
) -> None:
    folder = tmp_path / "journal"
    writer = JournalWriter(folder, retry_seconds=0.01)
    small_files(20)
    writer.append(note(0))
    wait_until(lambda: writer.failure is not None)
    assert notes(folder) == []
    small_files(None)
    writer.close()
    assert notes(folder) == [0]


def test_closing_on_a_full_disk_gives_up_and_says_how_much_is_lost(
    tmp_path: Path, small_files: Callable[[int | None], None]
) -> None:
    folder = tmp_path / "journal"
    writer = JournalWriter(folder, retry_seconds=0.01)
    writer.append(note(0))
    writer.flush()
    small_files(400)
    for i in range(1, 11):
        writer.append(note(i))
    with pytest.raises(RecordError) as caught:
        writer.close(timeout=0.1)
    small_files(None)
    assert str(caught.value) == f"{folder}: 10 entries of the journal could not be written: File too large"
    assert caught.value.hint == "free some space and resume the run; only what these entries held is done again"
    assert notes(folder)[0] == 0
    write(folder, 11)
    assert notes(folder)[-1] == 11


def test_a_full_disk_is_waited_out(tmp_path: Path, wait_until: Wait) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        filler = disk / "filler"
        writer = JournalWriter(disk / "journal", retry_seconds=0.01)
        writer.append(note(0))
        writer.flush()
        filler.write_bytes(bytes(220 * 1024))
        for i in range(1, 200):
            writer.append(note(i, text="x" * 400))
        wait_until(lambda: isinstance(writer.failure, OSError))
        assert os.strerror(28) in str(writer.failure)
        filler.unlink()
        writer.close()
        assert notes(disk / "journal") == list(range(200))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_index_that_cannot_be_written_loses_nothing(
    tmp_path: Path, small_files: Callable[[int | None], None]
) -> None:
    folder = tmp_path / "journal"
    writer = JournalWriter(folder)
    writer.append(note(0))
    writer.flush()
    small_files((folder / "000001.jsonl").stat().st_size + 1)
    writer.close()
    small_files(None)
    assert [path.name for path in folder.iterdir()] == ["000001.jsonl"]
    assert notes(folder) == [0]
    write(folder, 1)
    assert (folder / "000001.index.json").exists()


def test_an_earlier_segment_without_an_index_keeps_no_writer_waiting(
    tmp_path: Path, small_files: Callable[[int | None], None]
) -> None:
    folder = tmp_path / "journal"
    write(folder, 0)
    (folder / "000001.index.json").unlink()
    small_files(20)
    writer = JournalWriter(folder, retry_seconds=0.01)
    small_files(None)
    writer.append(note(1))
    writer.close()
    assert notes(folder) == [0, 1]


def test_a_guard_that_refuses_ends_the_writer_for_good(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    refusal = RecordError("another process has taken over")
    lost: list[bool] = []
    told: list[int] = []
    troubles: list[BaseException | None] = []

    def guard() -> None:
        if lost:
            raise refusal

    writer = JournalWriter(folder, guard=guard, on_trouble=troubles.append)
    writer.append(note(0), lambda: told.append(0))
    writer.flush()
    before = (folder / "000001.jsonl").read_bytes()
    lost.append(True)
    writer.append(note(1), lambda: told.append(1))
    with pytest.raises(RecordError, match="another process has taken over"):
        writer.flush()
    with pytest.raises(RecordError, match="another process has taken over"):
        writer.append(note(2))
    with pytest.raises(RecordError, match="another process has taken over"):
        writer.close()
    assert (told, troubles, writer.failure) == ([0], [refusal], refusal)
    assert (folder / "000001.jsonl").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["000001.jsonl"]


def test_entries_are_not_durable_if_the_lock_was_lost_while_they_were_written(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    checks: list[int] = []
    told: list[int] = []

    def guard() -> None:
        checks.append(1)
        if len(checks) == 2:
            raise RecordError("another process has taken over")

    writer = JournalWriter(folder, guard=guard)
    writer.append(note(0), lambda: told.append(0))
    with pytest.raises(RecordError, match="another process has taken over"):
        writer.flush()
    assert told == []
    with pytest.raises(RecordError, match="another process has taken over"):
        writer.close()


def test_a_guard_that_cannot_look_is_asked_again(tmp_path: Path) -> None:
    checks: list[int] = []

    def guard() -> None:
        checks.append(1)
        if len(checks) == 1:
            raise OSError(5, "the file system is away")

    writer = JournalWriter(tmp_path / "journal", guard=guard, retry_seconds=0.01)
    writer.append(note(0))
    writer.close()
    assert notes(tmp_path / "journal") == [0]


def test_lines_stay_readable_by_other_tools(tmp_path: Path) -> None:
    write(tmp_path / "journal", 0, 1)
    text = (tmp_path / "journal" / "000001.jsonl").read_text("utf-8")
    assert [json.loads(line)["e"] for line in text.splitlines()] == ["segment", "note", "note"]
