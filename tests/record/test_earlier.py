"""What a resume finds of the same run's earlier part."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest

from metis_flow.errors import RecordError
from metis_flow.record import last_entries
from metis_flow.record.earlier import Earlier
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter
from metis_flow.record.state import RunState

Done = Callable[..., dict[str, Any]]


def ck(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def write(run: RunFolder, *entries: dict[str, Any], **options: Any) -> None:
    writer = JournalWriter(run.journal, **options)
    for entry in entries:
        writer.append(entry)
        if options:
            writer.flush()
    writer.close()


def failed(step: str, key: str | None, *, final: bool = True, **more: Any) -> dict[str, Any]:
    error = {"kind": "shell", "summary": "exit code 1"}
    return {"e": "failed", "step": step, "key": key, "address": step, "final": final, "error": error} | more


def test_results_are_found_if_they_depended_on_the_same(run: RunFolder, done: Done) -> None:
    write(run, done("a", "x", ck=ck(1), output=1), done("a", None, ck=ck(2), output=2), done("b", "x", output=3))
    earlier = Earlier(run, keep_failures=True)
    for _ in range(2):
        entry = earlier.find("a", "x", ck(1))
        assert entry is not None
        assert entry["output"] == 1
    assert earlier.find("a", "x", ck(9)) is None
    assert earlier.find("a", "y", ck(1)) is None
    assert earlier.find("c", "x", ck(1)) is None
    assert earlier.find("b", "x", ck(3)) is None
    changed = earlier.entry("a", None)
    assert changed is not None
    assert (changed["ck"], changed["output"]) == (ck(2), 2)
    assert len(earlier) == 3
    earlier.close()


@pytest.mark.parametrize("keep_failures", [False, True])
def test_the_last_end_counts(run: RunFolder, done: Done, keep_failures: bool) -> None:
    write(
        run,
        done("a", "x", ck=ck("old"), output="old"),
        failed("a", "y", ck=ck("y")),
        done("a", "z", ck=ck("z")),
        failed("a", "w", final=False, ck=ck("w")),
    )
    write(
        run,
        done("a", "x", ck=ck("new"), output="new", cached={"run": "r"}),
        done("a", "y", ck=ck("y")),
        failed("a", "z", ck=ck("z")),
        {"e": "skipped", "step": "a", "key": "v", "reason": "no"},
    )
    earlier = Earlier(run, keep_failures=keep_failures)
    assert earlier.find("a", "x", ck("old")) is None
    assert (earlier.entry("a", "x") or {})["output"] == "new"
    assert (earlier.entry("a", "y") or {})["e"] == "done"
    assert (earlier.entry("a", "z") or {}).get("e") == ("failed" if keep_failures else None)
    assert earlier.entry("a", "w") is None
    assert earlier.entry("a", "v") is None
    earlier.close()


def test_what_another_driver_added_meanwhile_is_found_after_a_look(run: RunFolder, done: Done) -> None:
    write(run, done("a", "x", ck=ck(1), output=1))
    earlier = Earlier(run, keep_failures=True)
    writer = JournalWriter(run.journal)
    for i in range(2, 5):
        writer.append(done("a", "x", ck=ck(i), output=i))
        writer.append(done("a", f"y{i}", ck=ck(i), output=i))
        writer.flush()
        earlier.refresh()
        assert (earlier.find("a", "x", ck(i)) or {})["output"] == i
        assert (earlier.find("a", f"y{i}", ck(i)) or {})["output"] == i
        assert len(earlier) == i
    writer.close()
    earlier.refresh()
    assert len(earlier) == 4
    earlier.close()


def test_what_a_step_made_before_it_was_skipped_does_not_count(run: RunFolder, done: Done) -> None:
    write(run, done("a", "x", ck=ck(1)), {"e": "skipped", "step": "a", "key": None, "whole": True, "reason": "no"})
    earlier = Earlier(run, keep_failures=True)
    assert len(earlier) == 0
    assert earlier.entry("a", "x") is None


def test_many_segments_and_long_entries(run: RunFolder, done: Done) -> None:
    entries = [done("a", f"k{i}", ck=ck(i), output=str(i) * (1 + 4000 * (i % 7))) for i in range(60)]
    write(run, *entries, segment_bytes=20_000)
    assert len(list(run.journal.glob("*.jsonl"))) > 20
    earlier = Earlier(run, keep_failures=True)
    before = len(os.listdir("/proc/self/fd"))
    for i in [*range(0, 60, 3), *range(59, 0, -2)]:
        assert (earlier.find("a", f"k{i}", ck(i)) or {})["output"] == entries[i]["output"]
    assert len(os.listdir("/proc/self/fd")) - before <= 16
    earlier.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("indexed", [True, False])
def test_a_tail_torn_at_any_byte_loses_that_result_only(run: RunFolder, done: Done, indexed: bool) -> None:
    write(run, done("a", "x", ck=ck(1), output=1), done("a", "y", ck=ck(2), output="é\u2028"))
    path = run.journal / "000001.jsonl"
    derived = {name: name.read_bytes() for name in run.journal.iterdir() if name != path}
    whole = path.read_bytes()
    began = whole.rstrip(b"\n").rindex(b"\n") + 1
    for cut in range(began, len(whole) + 1):
        path.write_bytes(whole[:cut])
        for name, data in derived.items():
            name.write_bytes(data) if indexed else name.unlink(missing_ok=True)
        kept = 1 if cut < len(whole) else 2
        earlier = Earlier(run, keep_failures=True)
        assert len(earlier) == kept
        assert earlier.find("a", "x", ck(1)) is not None
        assert (earlier.find("a", "y", ck(2)) is None) == (kept == 1)
        earlier.close()
        state = RunState.read(run)
        assert (state.status, state.steps["a"].done, state.calls) == ("died", kept, kept)


def test_an_edited_entry_is_an_error_that_names_its_place(run: RunFolder, done: Done) -> None:
    write(run, done("a", "x", ck=ck(1), output="true"), done("a", "y", ck=ck(2)))
    path = run.journal / "000001.jsonl"
    times = path.stat()
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"true"', b'"fals"'))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    earlier = Earlier(run, keep_failures=True)
    place = whole.index(b"\n") + 1
    with pytest.raises(RecordError) as caught:
        earlier.find("a", "x", ck(1))
    assert str(caught.value) == (f"{path}: the journal is damaged: the line at byte {place} is not as it was written")
    assert earlier.find("a", "y", ck(2)) is not None
    earlier.close()


def test_an_entry_of_another_key_is_never_taken_for_an_own(
    run: RunFolder, done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(run, done("a", "x", ck=ck(1)), done("a", "y", ck=ck(2)))
    monkeypatch.setattr(last_entries, "hash_of", lambda key: 7)
    earlier = Earlier(run, keep_failures=True)
    assert earlier.entry("a", "x") is None
    assert (earlier.entry("a", "y") or {})["ck"] == ck(2)
    assert earlier.entry("a", "z") is None
