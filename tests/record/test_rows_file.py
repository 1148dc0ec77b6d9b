"""The files that hold rows which are too many for a line of the journal."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from metis_flow.errors import RecordError
from metis_flow.record.rows_file import adopted, line_of, recorded_output, write_rows_file
from metis_flow.workflow.rows import FileRows

ROWS = [{"a": 1}, "é\ud800\n\u2028", [None, 1.5]]


def test_a_file_is_private_and_named_for_its_content(tmp_path: Path) -> None:
    rows = write_rows_file(map(line_of, ROWS), tmp_path / "steps" / "load", within=tmp_path)
    path = Path(rows.path)
    assert path.read_bytes() == b'{"a":1}\n"\\u00e9\\ud800\\n\\u2028"\n[null,1.5]\n'
    assert list(rows) == ROWS
    assert rows.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (path.name, rows.size, len(rows)) == (f"rows-{rows.sha256[:16]}.jsonl", path.stat().st_size, 3)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    again = write_rows_file(map(line_of, ROWS), path.parent, within=tmp_path)
    other = write_rows_file(map(line_of, ROWS[:1]), path.parent, within=tmp_path)
    assert (again.path, list(again)) == (rows.path, ROWS)
    assert (list(other), list(rows)) == (ROWS[:1], ROWS)
    assert FileRows.of(rows.as_dict()) == rows
    assert rows.as_dict() == {"path": rows.path, "rows": 3, "bytes": rows.size, "sha256": rows.sha256}


def test_it_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    def lines() -> Iterator[bytes]:
        yield b"1\n"
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        write_rows_file(lines(), tmp_path / "steps", within=tmp_path)
    assert list((tmp_path / "steps").iterdir()) == []


def test_it_is_durable_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def synced(descriptor: int) -> None:
        done.append(f"fsync {stat.S_ISDIR(os.fstat(descriptor).st_mode)}")
        fsync(descriptor)

    def renamed(old: Path, new: Path) -> None:
        done.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    write_rows_file([b"1\n"], tmp_path / "steps", within=tmp_path)
    assert done == ["fsync False", "rename", "fsync True"]


def test_it_is_not_written_through_a_link_out_of_the_run(tmp_path: Path) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    run.mkdir()
    outside.mkdir()
    (run / "steps").symlink_to(outside)
    with pytest.raises(RecordError):
        write_rows_file([b"1\n"], run / "steps" / "load", within=run)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("links", [True, False])
def test_rows_of_another_run_are_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    rows = write_rows_file(map(line_of, ROWS), first / "steps", within=first)
    if not links:

        def refuse(*_: object) -> None:
            raise OSError("another file system")

        monkeypatch.setattr(os, "link", refuse)
    own = adopted(rows, second / "steps", within=second)
    Path(rows.path).unlink()
    assert Path(own.path) == second / "steps" / Path(rows.path).name
    assert list(own) == ROWS
    assert stat.S_IMODE(Path(own.path).stat().st_mode) == 0o600
    assert len(list((second / "steps").iterdir())) == 1
    monkeypatch.undo()
    assert adopted(own, second / "steps", within=second) == own  # it is there already
    assert list((second / "steps").iterdir()) == [Path(own.path)]


def test_a_record_that_was_moved_has_its_rows(tmp_path: Path) -> None:
    run = tmp_path / "trial-1"
    run.mkdir()
    rows = write_rows_file(map(line_of, ROWS), run / "steps", within=run)
    entry = {"kind": "rows", "output": rows.as_dict()}
    assert recorded_output(entry, run) == ROWS
    (tmp_path / "kept").mkdir()
    moved = run.rename(tmp_path / "kept" / "trial-1")
    assert recorded_output(entry, moved) == ROWS
    assert recorded_output({"kind": "json", "output": [1]}, moved) == [1]
