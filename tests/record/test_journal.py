"""The journal when all goes well, and what is refused."""

from __future__ import annotations

import gc
import itertools
import json
import os
import stat
import threading
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import RecordError
from metis_flow.record import lines
from metis_flow.record.entries_at import EntriesAt
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JOURNAL_VERSION, JournalWriter, read_journal
from metis_flow.record.state import read_instances

Done = Callable[..., dict[str, Any]]


def write(folder: Path, *entries: dict[str, Any], **options: Any) -> None:
    writer = JournalWriter(folder, **options)
    for entry in entries:
        writer.append(entry)
    writer.close()


def notes(folder: Path) -> list[Any]:
    return [entry["i"] for entry in read_journal(folder)]


def note(i: int, **more: Any) -> dict[str, Any]:
    return {"e": "note", "kind": "test", "i": i} | more


def test_entries_come_back_in_order_with_a_time(run: RunFolder) -> None:
    write(run.journal, note(0), note(1, t=5.0), note(2))
    first, second, third = read_journal(run.journal)
    assert second == {"e": "note", "kind": "test", "i": 1, "t": 5.0}
    assert first["t"] <= third["t"]
    assert notes(run.journal) == [0, 1, 2]


def test_an_empty_journal_reads_as_nothing(run: RunFolder) -> None:
    assert list(read_journal(run.journal)) == []
    JournalWriter(run.journal).close()
    assert list(run.journal.iterdir()) == []


def test_segments_begin_with_their_version_and_are_private(run: RunFolder) -> None:
    write(run.journal, note(0))
    header = json.loads((run.journal / "000001.jsonl").read_bytes().splitlines()[0])
    assert (header["e"], header["v"], header["n"], header["prior"]) == ("segment", JOURNAL_VERSION, 1, 0)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in run.journal.iterdir())


def test_a_wide_umask_does_not_open_the_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = RunFolder.create(tmp_path, "survey")
        write(folder.journal, note(0))
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in [folder.path, *folder.path.rglob("*")]}
    assert modes == {0}


def test_long_journals_are_split_and_read_as_one(run: RunFolder) -> None:
    writer = JournalWriter(run.journal, segment_bytes=300)
    for i in range(20):
        writer.append(note(i))
        writer.flush()
    writer.close()
    segments = sorted(run.journal.glob("*.jsonl"))
    assert len(segments) > 3
    assert [path.name for path in segments] == [f"{n:06d}.jsonl" for n in range(1, len(segments) + 1)]
    assert len(list(run.journal.glob("*.index.json"))) == len(segments)
    assert notes(run.journal) == list(range(20))


def test_each_writer_begins_a_segment_of_its_own(run: RunFolder) -> None:
    write(run.journal, note(0))
    before = (run.journal / "000001.jsonl").read_bytes()
    write(run.journal, note(1))
    assert (run.journal / "000001.jsonl").read_bytes() == before
    assert (run.journal / "000002.jsonl").exists()
    assert notes(run.journal) == [0, 1]


def test_callbacks_run_in_order_after_their_entry_can_be_read(run: RunFolder) -> None:
    seen: list[tuple[int, bool, str]] = []

    def told(i: int) -> Callable[[], None]:
        return lambda: seen.append((i, i in notes(run.journal), threading.current_thread().name))

    writer = JournalWriter(run.journal)
    for i in range(50):
        writer.append(note(i), told(i))
    writer.flush()
    assert seen == [(i, True, "journal") for i in range(50)]
    writer.close()


def test_an_entry_is_durable_before_its_callback(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        sync(descriptor)
        order.append("fsync")

    monkeypatch.setattr(os, "fsync", watched)
    writer = JournalWriter(run.journal)
    writer.append(note(0), lambda: order.append("callback"))
    writer.flush()
    monkeypatch.undo()
    writer.close()
    # The first two are the segment's first line and its name in the folder.
    assert order == ["fsync", "fsync", "fsync", "callback"]


def test_entries_that_gather_during_a_commit_share_the_next_one(run: RunFolder) -> None:
    commits = itertools.count()
    gate = threading.Event()
    begun = threading.Event()

    def guard() -> None:
        next(commits)
        begun.set()
        gate.wait()

    writer = JournalWriter(run.journal, guard=guard)
    writer.append(note(0))
    begun.wait()
    for i in range(1, 1000):
        writer.append(note(i))
    gate.set()
    writer.flush()
    # Two commits, each checked before and after.
    assert next(commits) == 4
    writer.close()
    assert notes(run.journal) == list(range(1000))


def test_many_threads_may_append(run: RunFolder) -> None:
    writer = JournalWriter(run.journal)

    def work(base: int) -> None:
        for i in range(base, base + 200):
            writer.append(note(i))

    threads = [threading.Thread(target=work, args=(base,)) for base in range(0, 1600, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    read = notes(run.journal)
    assert sorted(read) == list(range(1600))
    assert all([i for i in read if i // 200 == part] == list(range(part * 200, part * 200 + 200)) for part in range(8))


def test_a_reader_sees_what_is_durable_while_the_writer_goes_on(run: RunFolder) -> None:
    writer = JournalWriter(run.journal, segment_bytes=200)
    for i in range(10):
        writer.append(note(i))
        writer.flush()
        assert notes(run.journal) == list(range(i + 1))
    writer.close()


def test_an_entry_may_be_changed_after_it_was_taken(run: RunFolder, done: Done) -> None:
    entry = done("extract", "a", output=[1], t=5.0)
    gate = threading.Event()

    def guard() -> None:
        gate.wait()

    writer = JournalWriter(run.journal, guard=guard)
    writer.append(entry)
    entry["output"].append(2)
    entry["key"] = "b"
    gate.set()
    writer.close()
    (read,) = read_journal(run.journal)
    assert (read["output"], read["key"]) == ([1], "a")
    assert not list(read_instances(run, "extract", "b"))


def test_a_refused_entry_leaves_nothing_behind(run: RunFolder) -> None:
    writer = JournalWriter(run.journal)
    with pytest.raises(RecordError, match="x is nan, a number that JSON does not have"):
        writer.append(note(0, x=float("nan")))
    writer.append(note(1))
    writer.close()
    assert notes(run.journal) == [1]


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"step": "a"}, "a journal entry lacks e: {'step': 'a'}"),
        ({"e": "stepdone"}, "a journal entry lacks step, status: {'e': 'stepdone'}"),
        ({"e": "done", "step": "a", "key": 3}, "a journal entry's key is text or None, not 3"),
    ],
)
def test_an_entry_without_sense_is_refused(run: RunFolder, entry: dict[str, Any], text: str) -> None:
    writer = JournalWriter(run.journal)
    with pytest.raises(ValueError, match=text):
        writer.append(entry)
    writer.close()


def test_closing_twice_is_harmless_and_appending_after_it_is_refused(run: RunFolder) -> None:
    writer = JournalWriter(run.journal)
    writer.append(note(0))
    writer.close()
    writer.close()
    with pytest.raises(RecordError, match="the journal was closed already"):
        writer.append(note(1))
    assert notes(run.journal) == [0]


def test_a_callback_that_raises_is_reported_and_the_journal_goes_on(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: reported.append(arguments.exc_value))
    writer = JournalWriter(run.journal)
    error = RuntimeError("event loop is closed")

    def fail() -> None:
        raise error

    writer.append(note(0), fail)
    writer.append(note(1))
    writer.close()
    assert reported == [error]
    assert notes(run.journal) == [0, 1]


def test_two_writers_at_once_are_noticed(run: RunFolder) -> None:
    first, second = JournalWriter(run.journal), JournalWriter(run.journal)
    first.append(note(0))
    first.flush()
    second.append(note(1))
    with pytest.raises(RecordError, match="another process writes this journal"):
        second.flush()
    with pytest.raises(RecordError, match="another process writes this journal"):
        second.close()
    first.close()
    assert notes(run.journal) == [0]


def test_a_newer_version_is_refused(run: RunFolder) -> None:
    entry = {"e": "segment", "v": JOURNAL_VERSION + 1, "n": 1, "prior": 0, "t": 1.0}
    path = run.journal / "000001.jsonl"
    path.write_bytes(lines.sealed(lines.encode(entry), 0))
    with pytest.raises(RecordError) as caught:
        list(read_journal(run.journal))
    assert str(caught.value) == f"{path}:1: the journal has version 2, and this metis-flow reads up to 1"
    assert caught.value.hint == "read it with the metis-flow that wrote it, or a newer one"


def test_who_is_told_of_an_entry_is_not_held_after_that(tmp_path: Path) -> None:
    class Waits:
        def told(self) -> None:
            pass

    waits = Waits()
    gone = weakref.ref(waits)
    with closing(JournalWriter(tmp_path / "journal")) as journal:
        gc.disable()
        try:
            written = journal.append({"e": "note"}, waits.told)
            journal.flush()
            del waits
            assert written.place >= 0
            assert gone() is None
        finally:
            gc.enable()


def test_a_segment_that_cannot_be_read_is_an_error_with_its_place(tmp_path: Path) -> None:
    with closing(JournalWriter(tmp_path / "journal")) as journal:
        written = journal.append({"e": "note"})
        journal.flush()
    (segment,) = (tmp_path / "journal").glob("*.jsonl")
    segment.unlink()
    with pytest.raises(RecordError) as caught:
        EntriesAt(tmp_path / "journal")[written.place]
    assert caught.value.summary == "the journal cannot be read: No such file or directory"
    assert caught.value.where == str(segment)
