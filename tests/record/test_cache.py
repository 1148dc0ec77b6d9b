"""Results of earlier runs, found by content key: also while those runs go on, and whatever is wrong with them."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metis_flow.record.cache import Cache, Hit
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter

Done = Callable[..., dict[str, Any]]


def ck(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def cache_of() -> Iterator[Callable[..., Cache]]:
    """Make caches; their files are closed at the end."""
    made: list[Cache] = []

    def make(runs_dir: Path, without: RunFolder | None = None) -> Cache:
        made.append(Cache(runs_dir, without=without))
        return made[-1]

    yield make
    for cache in made:
        cache.close()


@pytest.fixture
def result(done: Done) -> Done:
    """A ``done`` entry with a content key: ``result("a", output=1)``."""

    def entry(name: object, **more: Any) -> dict[str, Any]:
        return done("ask", str(name), ck=ck(name), parts={"prompt": "0" * 16}, **more)

    return entry


def record(runs: Path, *entries: dict[str, Any], killed: bool = False, **options: Any) -> RunFolder:
    """A run with these entries, ended in order or killed."""
    folder = RunFolder.create(runs, "survey")
    add(folder, *entries, **options)
    if killed:
        for derived in folder.journal.glob(f"{max(folder.journal.glob('*.jsonl')).stem}.*"):
            if derived.suffix != ".jsonl":
                derived.unlink()
    return folder


def add(folder: RunFolder, *entries: dict[str, Any], **options: Any) -> None:
    writer = JournalWriter(folder.journal, **options)
    for entry in entries:
        writer.append(entry)
        if options:
            writer.flush()
    writer.close()


def found(cache: Cache, name: object) -> tuple[str, Any] | None:
    hit = cache.find(ck(name))
    return None if hit is None else (hit.run, hit.entry["output"])


@pytest.mark.parametrize("killed", [False, True])
def test_a_result_is_found_with_the_run_that_made_it(runs: Path, result: Done, killed: bool, cache_of: Any) -> None:
    entries = [result("a", output=1), result("b", output=2), result("a\u2028", output="ck é \ud800")]
    folder = record(runs, *entries, killed=killed)
    cache = cache_of(runs)
    assert found(cache, "a") == (folder.id, 1)
    assert found(cache, "b") == (folder.id, 2)
    hit = cache.find(ck("a\u2028"))
    assert isinstance(hit, Hit)
    assert {name: hit.entry[name] for name in entries[2]} == entries[2]
    assert found(cache, "c") is None
    assert cache.skipped == []


def test_only_results_count(runs: Path, result: Done, done: Done, cache_of: Any) -> None:
    failed = result("a") | {"e": "failed", "error": {"kind": "shell", "summary": "no"}}
    record(runs, failed, done("ask", "x", output=1), result("b") | {"ck": "b"}, result("c") | {"ck": None})
    cache = cache_of(runs)
    assert cache.find(ck("a")) is None
    assert cache.find("b") is None


def test_the_newest_that_was_made_is_taken_and_this_run_is_left_out(runs: Path, result: Done, cache_of: Any) -> None:
    record(runs, result("a", output="old"))
    second = record(runs, result("a", output="new"), result("a", output="newest"))
    third = record(runs, result("a", output="mine"))
    assert found(cache_of(runs, third), "a") == (second.id, "newest")
    assert found(cache_of(runs), "a") == (third.id, "mine")


@pytest.mark.parametrize("killed", [False, True])
def test_the_origin_is_preferred_and_a_copy_stands_for_one_that_is_gone(
    runs: Path, result: Done, killed: bool, cache_of: Any
) -> None:
    origin = record(runs, result("a", output=1), killed=killed)
    copy = record(runs, result("a", output=1, cached={"run": origin.id}), killed=killed)
    cache = cache_of(runs)
    assert found(cache, "a") == (origin.id, 1)
    shutil.rmtree(origin.path)
    hit = cache_of(runs).find(ck("a"))
    assert hit is not None
    assert (hit.run, hit.entry["cached"]) == (copy.id, {"run": origin.id})


def test_a_run_that_is_removed_meanwhile_is_not_missed(runs: Path, result: Done, cache_of: Any) -> None:
    origin = record(runs, result("a", output=1), result("b", output=2))
    copy = record(runs, result("a", output=1, cached={"run": origin.id}))
    cache = cache_of(runs)
    shutil.rmtree(origin.path)
    assert found(cache, "b") is None
    assert found(cache, "a") == (copy.id, 1)
    shutil.rmtree(copy.path)
    cache.refresh()
    cache.close()
    assert found(cache, "a") is None


def test_what_a_model_said_cannot_pass_for_a_content_key(runs: Path, result: Done, cache_of: Any) -> None:
    said = {"ck": ck("other"), "cached": {"run": "x"}, "e": "done", "text": f',"ck":"{ck("third")}"'}
    entry = {"e": "done", "step": "ask", "key": "k", "output": said, "ck": ck("a"), "index": 0}
    late = {"step": "ask", "output": said, "ck": ck("b"), "e": "done"}
    bare = {"e": "done", "step": "ask", "key": "n", "output": said, "index": 0}
    folder = record(runs, entry, late, bare, killed=True)
    cache = cache_of(runs)
    assert found(cache, "a") == found(cache, "b") == (folder.id, said)
    assert found(cache, "other") is found(cache, "third") is None


def test_what_a_result_holds_does_not_stand_for_the_result(runs: Path, result: Done, cache_of: Any) -> None:
    said = {"ck": ck("inner"), "e": "done"}
    first = {"e": "done", "step": "ask", "output": {"text": "", **said}, "ck": ck("a")}
    failure = {"e": "failed", "step": "ask", "key": "f", "error": {"e": "done"}, "ck": ck("failed")}
    folder = record(runs, first, failure, result("b", output=said), killed=True)
    cache = cache_of(runs)
    assert (found(cache, "a"), found(cache, "b")) == ((folder.id, first["output"]), (folder.id, said))
    assert found(cache, "inner") is found(cache, "failed") is None


@pytest.mark.parametrize("seed", range(3))
def test_files_beside_the_segments_change_nothing(runs: Path, result: Done, seed: int, cache_of: Any) -> None:
    chance = random.Random(seed)
    wanted: dict[int, int] = {}
    entries = []
    for i in range(300):
        name, copied = chance.randrange(150), chance.random() < 0.3
        entries.append(result(name, output=i, **({"cached": {"run": "gone"}} if copied else {})))
        if not copied:
            wanted[name] = i
    folder = record(runs, *entries, segment_bytes=3000)
    assert len(list(folder.journal.glob("*.keys"))) > 10
    with_files = cache_of(runs)
    seen = {name: found(with_files, name) for name in range(150)}
    assert {name: seen[name] for name in wanted} == {name: (folder.id, i) for name, i in wanted.items()}
    for derived in folder.journal.glob("*.keys"):
        derived.unlink()
    without_files = cache_of(runs)
    assert {name: found(without_files, name) for name in range(150)} == seen


def test_a_file_of_keys_is_used_while_it_fits_and_not_after(runs: Path, result: Done, cache_of: Any) -> None:
    folder = record(runs, result("a", output=1), result("b", output=2))
    segment, keys = folder.journal / "000001.jsonl", folder.journal / "000001.keys"
    described = keys.read_bytes()
    times = segment.stat()
    lines = segment.read_bytes().splitlines(keepends=True)
    empty = record(runs, {"e": "note"}).journal / "000001.keys"
    keys.write_bytes(described[:-1] + bytes([described[-1] ^ 1]))
    assert found(cache_of(runs), "b") == (folder.id, 2)
    keys.write_bytes(empty.read_bytes())
    assert found(cache_of(runs), "a") == (folder.id, 1)
    keys.write_bytes(described)
    segment.write_bytes(b"".join(lines[:2]))
    assert found(cache_of(runs), "b") is None
    os.utime(segment, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert found(cache_of(runs), "a") == (folder.id, 1)
    for junk in (b"", b"\n", b"{}\n", described[: len(described) // 2]):
        keys.write_bytes(junk)
        assert found(cache_of(runs), "a") == (folder.id, 1)


def test_two_runs_at_once_share_what_is_durable(runs: Path, result: Done, cache_of: Any) -> None:
    mine = record(runs)
    cache = cache_of(runs, mine)
    other = RunFolder.create(runs, "survey")
    cache.refresh()
    writer = JournalWriter(other.journal, segment_bytes=2000)
    for i in range(40):
        assert found(cache, i) is None
        writer.append(result(i, output=i))
        writer.flush()
        cache.refresh()
        assert found(cache, i) == (other.id, i)
    writer.close()
    assert len(list(other.journal.glob("*.jsonl"))) > 3
    add(other, result("later", output=1))
    cache.refresh()
    assert found(cache, "later") == (other.id, 1)
    assert [found(cache, i) for i in range(40)] == [(other.id, i) for i in range(40)]
    assert cache.skipped == []


def test_a_run_that_was_quiet_for_long_is_looked_at_again(runs: Path, result: Done, cache_of: Any) -> None:
    folders = [record(runs, {"e": "note"}) for _ in range(60)]
    cache = cache_of(runs)
    for _ in range(40):
        cache.refresh()
    add(folders[0], result("a", output=1))
    cache.refresh()
    cache.refresh()
    assert found(cache, "a") == (folders[0].id, 1)


def test_an_entry_half_written_is_found_once_it_is_whole(runs: Path, result: Done, cache_of: Any) -> None:
    folder = record(runs, result("a", output=1), result("b", output="x" * 50), killed=True)
    segment = folder.journal / "000001.jsonl"
    whole = segment.read_bytes()
    began = whole.rstrip(b"\n").rindex(b"\n") + 1
    for cut in range(began, len(whole)):
        segment.write_bytes(whole[:cut])
        cache = cache_of(runs)
        assert (found(cache, "a"), found(cache, "b")) == ((folder.id, 1), None)
        assert cache.skipped == []
        segment.write_bytes(whole)
        cache.refresh()
        assert found(cache, "b") == (folder.id, "x" * 50)


def change(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    times = path.stat()
    path.write_bytes(data.replace(old, new))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def make_newer(journal: Path) -> None:
    from metis_flow.record import lines

    entry = {"e": "segment", "v": 99, "n": 1, "prior": 0, "t": 1.0}
    (journal / "000001.jsonl").write_bytes(lines.sealed(lines.encode(entry), 0))


def lead_away(path: Path) -> None:
    elsewhere = path.parent.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def take_place(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("")


POISON: list[tuple[Callable[[RunFolder], object], str]] = [
    (lambda run: (run.journal / "000001.jsonl").unlink(), "segment 000001.jsonl is missing"),
    (lambda run: change(run.journal / "000001.jsonl", b'"prior"', b'"Prior"'), "a line is not as it was written"),
    (lambda run: make_newer(run.journal), "the journal has version 99, and this metis-flow reads up to 1"),
    (lambda run: lead_away(run.journal / "000001.jsonl"), "a symbolic link is in its place"),
    (lambda run: lead_away(run.journal), "its journal is a symbolic link"),
    (lambda run: lead_away(run.path), "it is a symbolic link"),
    (lambda run: take_place(run.path), "it is no folder"),
    (lambda run: os.mkfifo(run.journal / "000002.jsonl"), "something else is in its place"),
]


@pytest.mark.parametrize(("poison", "reason"), POISON)
def test_a_run_that_cannot_be_read_is_left_aside(
    runs: Path, result: Done, poison: Callable[[RunFolder], object], reason: str, cache_of: Any
) -> None:
    good = record(runs, result("a", output=1))
    bad = record(runs, result("a", output="poison"), result("b", output="poison"))
    poison(bad)
    cache = cache_of(runs)
    assert found(cache, "a") == (good.id, 1)
    assert found(cache, "b") is None
    ((run, said),) = cache.skipped
    assert run == bad.id
    assert reason in said
    cache.refresh()
    assert len(cache.skipped) == 1


def test_an_edited_entry_is_not_believed_and_the_others_are(runs: Path, result: Done, cache_of: Any) -> None:
    folder = record(runs, result("a", output="true"), result("b", output=2), result("c", output="true"))
    change(folder.journal / "000001.jsonl", b'"true"', b'"fals"')
    cache = cache_of(runs)
    assert found(cache, "b") == (folder.id, 2)
    assert [found(cache, name) for name in ("a", "c", "a")] == [None, None, None]
    ((run, reason),) = cache.skipped
    assert run == folder.id
    assert "is not as it was written" in reason
    copy = record(runs, result("a", output="true", cached={"run": folder.id}))
    cache.refresh()
    assert found(cache, "a") == (copy.id, "true")


def test_an_edited_entry_that_is_not_in_a_file_of_keys_yet(runs: Path, result: Done, cache_of: Any) -> None:
    folder = record(runs, result("a", output=1), result("b", output="true"), result("c", output=3), killed=True)
    change(folder.journal / "000001.jsonl", b'"true"', b'"fals"')
    cache = cache_of(runs)
    assert found(cache, "a") == (folder.id, 1)
    assert found(cache, "b") is found(cache, "c") is None
    assert [run for run, _ in cache.skipped] == [folder.id]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize("whose", ["", "journal", "journal/000001.jsonl"])
def test_what_belongs_to_another_user_is_not_believed(runs: Path, result: Done, whose: str, cache_of: Any) -> None:
    folder = record(runs, result("a", output=1))
    os.chown(folder.path / whose, 12345, -1)
    cache = cache_of(runs)
    assert found(cache, "a") is None
    ((run, reason),) = cache.skipped
    assert run == folder.id
    assert reason.endswith("belongs to another user")


def test_two_keys_that_begin_alike_are_not_taken_for_each_other(runs: Path, result: Done, cache_of: Any) -> None:
    record(runs, result("a", output=1))
    assert cache_of(runs).find(ck("a")[:16] + "0" * 48) is None


def test_no_runs_folder_and_no_runs_are_no_error(runs: Path, cache_of: Any) -> None:
    assert cache_of(runs).find(ck("a")) is None
    cache = cache_of(runs)
    runs.mkdir()
    (runs / "notes.txt").write_text("mine")
    cache.refresh()
    assert cache.find(ck("a")) is None
    assert cache.skipped == []


def test_a_cache_writes_nothing(runs: Path, result: Done, cache_of: Any) -> None:
    folder = record(runs, result("a", output=1), killed=True)
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    cache = cache_of(runs)
    assert found(cache, "a") == (folder.id, 1)
    cache.refresh()
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before
