"""The newest earlier run of a workflow that has made an instance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter
from metis_flow.record.latest import latest_of

Done = Callable[..., dict[str, Any]]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def record(runs: Path, *entries: dict[str, Any], name: str = "my survey") -> RunFolder:
    folder = RunFolder.create(runs, name)
    writer = JournalWriter(folder.journal)
    for entry in entries:
        writer.append(entry)
    writer.close()
    return folder


def test_the_newest_run_that_has_it_is_found(runs: Path, done: Done) -> None:
    first = record(runs, done("a", "x", ck="1", parts={"prompt": "p1"}), done("a", "y", ck="2", parts={"prompt": "p"}))
    second = record(runs, done("a", "x", ck="3", parts={"prompt": "p3"}, cached={"run": "r"}))
    record(runs, done("a", "x", ck="4"), name="other")
    failure = {"e": "failed", "step": "a", "key": "x", "final": True, "error": {}}
    third = record(runs, failure)
    latest = latest_of(runs, "my survey")
    found = latest.find("a", "x")
    assert found is not None
    assert (found.run, found.ck, found.parts, found.folder) == (second.id, "3", {"prompt": "p3"}, second)
    found = latest.find("a", "y")
    assert found is not None
    assert (found.run, found.parts) == (first.id, {"prompt": "p"})
    assert latest.find("a", "z") is latest.find("b", "x") is None
    for before, wanted in ((third, second), (second, first), (first, None)):
        found = latest_of(runs, "my survey", before=before).find("a", "x")
        assert (found and found.folder) == wanted


def test_it_looks_ten_runs_back_and_no_further(runs: Path, done: Done) -> None:
    record(runs, done("a", "too old"))
    oldest = record(runs, done("a", "old"))
    for _ in range(9):
        record(runs, done("a", "x"))
    latest = latest_of(runs, "my survey")
    found = latest.find("a", "old")
    assert found is not None
    assert (found.run, found.ck, found.parts) == (oldest.id, None, {})
    assert latest.find("a", "too old") is None


def test_a_run_is_read_when_it_is_needed(runs: Path, done: Done) -> None:
    old = record(runs, done("a", "x"), done("a", "y"))
    new = record(runs, done("a", "x"))
    latest = latest_of(runs, "my survey")
    (old.journal / "000001.jsonl").unlink()
    found = latest.find("a", "x")
    assert found is not None
    assert found.folder == new
    assert latest.find("a", "y") is None


def test_runs_that_cannot_be_read_are_passed_over(runs: Path, done: Done, tmp_path: Path) -> None:
    good = record(runs, done("a", "x"))
    away = record(runs, done("a", "x"))
    away.path.rename(tmp_path / "elsewhere")
    away.path.symlink_to(tmp_path / "elsewhere")
    damaged = record(runs, done("a", "x"))
    (damaged.journal / "000001.jsonl").unlink()
    found = latest_of(runs, "my survey").find("a", "x")
    assert found is not None
    assert found.folder == good


def test_there_may_be_no_run_at_all(runs: Path) -> None:
    assert latest_of(runs, "my survey").find("a", "x") is None
