"""A poisoned journal: a clear error, and nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from metis_flow.errors import RecordError
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter, read_journal
from metis_flow.record.state import RunState, read_instances

HINT = "nothing was changed; bring the file back from a copy, or start a new run, which reuses what it can"


@pytest.fixture
def journal(run: RunFolder) -> Path:
    """Two segments with three notes each."""
    for part in range(2):
        writer = JournalWriter(run.journal)
        for i in range(3):
            writer.append({"e": "note", "kind": "test", "i": 3 * part + i})
        writer.close()
    return run.journal


def edit(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def remove_line(path: Path, number: int) -> None:
    kept = path.read_bytes().splitlines(keepends=True)
    del kept[number - 1]
    path.write_bytes(b"".join(kept))


def as_it_was(journal: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in journal.iterdir() if path.is_file()}


DAMAGE: list[tuple[Callable[[Path], object], str, str]] = [
    (lambda j: edit(j / "000001.jsonl", b'"i":1', b'"i":7'), "a line is not as it was written", "000001.jsonl:3"),
    (lambda j: edit(j / "000002.jsonl", b'"i":5', b'"i":7'), "a line is not as it was written", "000002.jsonl:4"),
    (lambda j: edit(j / "000001.jsonl", b'"i":1', b"{{{{{"), "a line is not as it was written", "000001.jsonl:3"),
    (lambda j: edit(j / "000002.jsonl", b'"prior":', b'"Prior":'), "a line is not as it was written", "000002.jsonl:1"),
    (lambda j: remove_line(j / "000001.jsonl", 3), "a line is not as it was written", "000001.jsonl:3"),
    (lambda j: remove_line(j / "000002.jsonl", 3), "a line is not as it was written", "000002.jsonl:3"),
    (lambda j: remove_line(j / "000001.jsonl", 1), "a line is not as it was written", "000001.jsonl:1"),
    (lambda j: (j / "000001.jsonl").unlink(), "segment 000001.jsonl is missing", ""),
    (lambda j: (j / "000002.jsonl").unlink(), "segment 000002.jsonl is missing", ""),
]


@pytest.mark.parametrize(("damage", "reason", "place"), DAMAGE)
def test_damage_is_named_and_left_alone(
    run: RunFolder, journal: Path, damage: Callable[[Path], object], reason: str, place: str
) -> None:
    damage(journal)
    before = as_it_was(journal)
    for read in (
        lambda: list(read_journal(journal)),
        lambda: RunState.read(run),
        lambda: list(read_instances(run)),
        lambda: JournalWriter(journal),
    ):
        with pytest.raises(RecordError) as caught:
            read()
        where = journal / place if place else journal
        assert str(caught.value) == f"{where}: the journal is damaged: {reason}"
        assert caught.value.hint == HINT
        assert as_it_was(journal) == before


def test_a_segment_that_was_cut_short_is_damage(run: RunFolder, journal: Path) -> None:
    path = journal / "000001.jsonl"
    size = path.stat().st_size
    remove_line(path, 4)
    left = path.stat().st_size
    with pytest.raises(RecordError) as caught:
        RunState.read(run)
    assert str(caught.value) == f"{path}: the journal is damaged: a segment holds {left} bytes and should hold {size}"


def test_two_segments_that_changed_places_are_damage(journal: Path) -> None:
    first, second = journal / "000001.jsonl", journal / "000002.jsonl"
    first.rename(journal / "x")
    second.rename(first)
    (journal / "x").rename(second)
    with pytest.raises(RecordError, match=r"000001.jsonl:1: the journal is damaged: a line is not as it was written"):
        list(read_journal(journal))


def test_a_segment_that_is_a_link_is_not_followed(journal: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.jsonl"
    path = journal / "000002.jsonl"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    with pytest.raises(RecordError) as caught:
        list(read_journal(journal))
    assert str(caught.value) == f"{path}: a plain file belongs here, and a symbolic link is in its place"
    with pytest.raises(RecordError, match="a symbolic link is in its place"):
        JournalWriter(journal)
    assert elsewhere.read_bytes() == before


def test_a_pipe_in_the_place_of_a_segment_does_not_hang(journal: Path) -> None:
    os.mkfifo(journal / "000003.jsonl")
    with pytest.raises(RecordError, match="a plain file belongs here, and something else is in its place"):
        list(read_journal(journal))


def test_a_journal_folder_that_is_a_link_is_not_followed(run: RunFolder, journal: Path, tmp_path: Path) -> None:
    journal.rename(tmp_path / "elsewhere")
    journal.symlink_to(tmp_path / "elsewhere")
    before = as_it_was(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="the journal's folder is a symbolic link"):
        RunState.read(run)
    with pytest.raises(RecordError, match=r"a folder belongs at .*, and a symbolic link is in its place"):
        JournalWriter(journal)
    assert as_it_was(tmp_path / "elsewhere") == before


def test_a_missing_journal_folder_is_named(run: RunFolder) -> None:
    run.journal.rmdir()
    with pytest.raises(RecordError) as caught:
        RunState.read(run)
    assert str(caught.value) == f"{run.journal}: the journal's folder is missing"
