"""What `status` and `show` read: folded from the journal, with and without indexes, while it is written and after."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from metis_flow.errors import RecordError
from metis_flow.record import lines
from metis_flow.record.folder import RunFolder
from metis_flow.record.index import INDEX_VERSION
from metis_flow.record.journal import JournalWriter
from metis_flow.record.ownership import Ownership
from metis_flow.record.segments import header_line
from metis_flow.record.state import RunState, StepCounts, read_in_order, read_instances
from metis_flow.record.usage import Usage

Done = Callable[..., dict[str, Any]]
Entry = dict[str, Any]


def write(run: RunFolder, entries: list[Entry], **options: Any) -> None:
    writer = JournalWriter(run.journal, **options)
    for time, entry in enumerate(entries, 100):
        writer.append({"t": float(time)} | entry)
        if options:
            writer.flush()
    writer.close()


def start(run: RunFolder, **more: Any) -> Entry:
    return {"e": "start", "run": run.id, "host": "n1", "pid": 7, "generation": 1, "resumed": False} | more


def failed(step: str, key: str | None, *, final: bool = True) -> Entry:
    address = step if key is None else f"{step}@{key}"
    error = {"kind": "shell", "summary": "exit code 1"}
    return {"e": "failed", "step": step, "key": key, "address": address, "final": final, "error": error}


def skipped(step: str, key: str | None = None, **more: Any) -> Entry:
    return {"e": "skipped", "step": step, "key": key, "address": step, "reason": "its `if` is false"} | more


def call(step: str, key: str | None, n: int = 1) -> Entry:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"e": "call", "step": step, "key": key, "n": n, "text": "?", "usage": usage, "problem": "no JSON"}


def test_a_whole_run(run: RunFolder, done: Done) -> None:
    entries = [
        start(run),
        {"e": "step", "step": "load", "items": None},
        done("load", output=[1, 2, 3]) | {"call": None},
        {"e": "stepdone", "step": "load", "status": "done"},
        {"e": "step", "step": "extract", "items": 4},
        call("extract", "a"),
        done("extract", "a", output=1),
        done("extract", "b", output=2, cached={"run": "earlier"}),
        failed("extract", "c", final=False),
        failed("extract", "c"),
        skipped("extract", "d"),
        {"e": "tick", "running": {"extract": 1}, "waiting": {"relax": "a place"}, "limiter": {"limit": 64}},
        {"e": "stepdone", "step": "extract", "status": "failed", "reason": "1 of 4 failed"},
        skipped("report", whole=True),
        {"e": "stepdone", "step": "report", "status": "skipped"},
        {"e": "outputs", "outputs": {"table": [1, 2], "gone": None}, "missing": {"gone": "report was skipped"}},
        {"e": "end", "status": "failed", "exit": 1, "reason": "extract failed"},
    ]
    write(run, entries)
    state = RunState.read(run)
    assert state.steps == {
        "load": StepCounts(done=1, status="done"),
        "extract": StepCounts(done=2, cached=1, failed=1, skipped=1, items=4, status="failed", reason="1 of 4 failed"),
        "report": StepCounts(skipped=1, status="skipped"),
    }
    assert (state.status, state.exit_code, state.reason) == ("failed", 1, "extract failed")
    assert (state.host, state.pid, state.generation) == ("n1", 7, 1)
    assert (state.started, state.ended, state.seconds) == (100.0, 116.0, 16.0)
    assert state.outputs == {"table": [1, 2], "gone": None}
    assert state.missing == {"gone": "report was skipped"}
    assert (state.waiting, state.limiter) == ({}, {})
    assert state.as_json() == {
        "run": run.id,
        "status": "failed",
        "outputs": {"table": [1, 2], "gone": None},
        "steps": {
            "load": {"done": 1, "failed": 0, "skipped": 0, "cached": 0},
            "extract": {"done": 2, "failed": 1, "skipped": 1, "cached": 1},
            "report": {"done": 0, "failed": 0, "skipped": 1, "cached": 0},
        },
        "calls": 2,
        "cached": 1,
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
        "seconds": 16.0,
        "record": str(run.path),
    }


def test_an_empty_record(run: RunFolder) -> None:
    state = RunState.read(run)
    assert (state.id, state.name, state.status, state.steps) == (run.id, "survey", "died", {})
    assert state.as_json()["outputs"] == {}
    assert list(read_instances(run)) == []


def test_a_run_is_running_while_it_has_a_driver_and_died_without_one(run: RunFolder, done: Done) -> None:
    with Ownership.acquire(run):
        assert RunState.read(run).status == "running"
        tick = {"e": "tick", "running": {"a": 3}, "waiting": {"b": "tokens"}, "limiter": {"limit": 8}}
        write(run, [start(run), {"e": "step", "step": "a", "items": 5}, done("a", "x"), tick])
        state = RunState.read(run)
        assert state.status == "running"
        assert state.steps["a"] == StepCounts(done=1, running=3, items=5, status="running")
        assert (state.waiting, state.limiter) == ({"b": "tokens"}, {"limit": 8})
        assert {name: state.tick[name] for name in tick} == tick
    state = RunState.read(run)
    assert state.status == "died"
    assert state.steps["a"] == StepCounts(done=1, items=5, status="stopped")
    assert (state.waiting, state.limiter, state.tick) == ({}, {}, {})


def test_a_silent_driver_elsewhere_counts_as_dead_by_the_readers_clock(run: RunFolder) -> None:
    owner = Ownership.acquire(run)
    touched = (run.driver / "000001.json").stat().st_mtime
    assert RunState.read(run, clock=lambda: touched + 59).status == "running"
    assert RunState.read(run, clock=lambda: touched + 61).status == "died"
    owner.release()


def test_a_resumed_run_has_no_end_until_it_ends_again(run: RunFolder, done: Done) -> None:
    tick = {"e": "tick", "running": {"a": 9}}
    end = {"e": "end", "status": "paused", "exit": 3, "reason": "the login is dead", "hint": "log in"}
    write(run, [start(run), failed("a", "x"), tick, end])
    state = RunState.read(run)
    assert (state.status, state.reason, state.hint, state.tick) == ("paused", "the login is dead", "log in", {})
    with Ownership.acquire(run):
        write(run, [start(run, pid=8, generation=2, resumed=True), {"e": "step", "step": "a", "items": 1}])
        state = RunState.read(run)
        assert (state.status, state.exit_code, state.reason, state.hint) == ("running", None, None, None)
        assert state.ended is None
        assert (state.pid, state.steps["a"].running) == (8, 0)
        write(run, [done("a", "x"), {"e": "end", "status": "done", "exit": 0}])
    state = RunState.read(run)
    assert (state.status, state.exit_code, state.steps["a"].failed, state.steps["a"].done) == ("done", 0, 0, 1)


def test_a_step_skipped_as_a_whole_may_run_after_all(run: RunFolder, done: Done) -> None:
    write(run, [skipped("a", whole=True), skipped("b", whole=True)])
    write(run, [{"e": "step", "step": "a", "items": 2}, done("a", "x"), done("a", "y")])
    write(run, [done("c", "x"), skipped("c", whole=True)])
    state = RunState.read(run)
    assert [state.steps[name].skipped for name in "abc"] == [0, 1, 1]
    assert [state.steps[name].done for name in "abc"] == [2, 0, 0]
    assert [(entry["step"], entry["key"]) for entry in read_instances(run)] == [
        ("b", None),
        ("a", "x"),
        ("a", "y"),
        ("c", None),
    ]


def test_the_last_end_of_an_instance_counts_with_what_came_before_as_tries(run: RunFolder, done: Done) -> None:
    write(run, [call("a", "x", 1), call("a", "x", 2), failed("a", "x", final=False), failed("a", "x"), done("a", "y")])
    write(run, [call("a", "x", 3), done("a", "x", output=5), call("a", "y", 1), call("a", "z", 1)])
    read = list(read_instances(run))
    assert [(entry["e"], entry["key"]) for entry in read] == [("done", "y"), ("done", "x")]
    assert read[0]["tries"] == []
    assert [(entry["e"], entry.get("n")) for entry in read[1]["tries"]] == [
        ("call", 1),
        ("call", 2),
        ("failed", None),
        ("failed", None),
        ("call", 3),
    ]
    state = RunState.read(run)
    assert (state.steps["a"].done, state.steps["a"].failed) == (2, 0)
    assert (state.calls, state.usage) == (7, Usage(25, 9, 34))


def test_an_instance_is_found_by_key_address_or_its_part_after_the_at(run: RunFolder, done: Done) -> None:
    entries = [
        done("a", "10.1/x", address="a@10-1-x-ab12cd34"),
        done("a", "plain"),
        done("b", "plain"),
        done("lone"),
    ]
    write(run, entries)

    def found(*wanted: str | None) -> list[str]:
        return [entry["address"] for entry in read_instances(run, *wanted)]

    assert found() == ["a@10-1-x-ab12cd34", "a@plain", "b@plain", "lone"]
    assert found("a") == ["a@10-1-x-ab12cd34", "a@plain"]
    for name in ("10.1/x", "a@10-1-x-ab12cd34", "10-1-x-ab12cd34"):
        assert found("a", name) == ["a@10-1-x-ab12cd34"]
    assert found(None, "plain") == ["a@plain", "b@plain"]
    assert found("b", "b@plain") == ["b@plain"]
    assert found("lone") == found(None, "lone") == ["lone"]
    assert found("a", "nothing") == found("nothing") == []


def random_run(run: RunFolder, done: Done, seed: int) -> list[Entry]:
    chance = random.Random(seed)
    entries: list[Entry] = []
    for i in range(200):
        step, key = chance.choice("abc"), chance.choice(["x", "y", "é \u2028", "long key/" * 9, None])
        kind = chance.randrange(10)
        entries.append(
            [
                done(step, key, output=i, address=f"{step}@slug-{hash(key) % 97}"),
                done(step, key, output=i),
                done(step, key, cached={"run": "earlier"}),
                failed(step, key, final=chance.random() < 0.5),
                skipped(step, key),
                skipped(step, whole=True),
                call(step, key),
                {"e": "step", "step": step, "items": i},
                {"e": "stepdone", "step": step, "status": chance.choice(["done", "failed"])},
                chance.choice(
                    [
                        start(run, pid=i),
                        {"e": "end", "status": "stopped", "exit": 5},
                        {"e": "tick", "running": {step: i}},
                        {"e": "outputs", "outputs": {"i": i}, "missing": {}},
                    ]
                ),
            ][kind]
        )
    return entries


@pytest.mark.parametrize("seed", range(5))
def test_segments_and_indexes_change_nothing_in_what_is_read(run: RunFolder, done: Done, seed: int) -> None:
    entries = random_run(run, done, seed)
    whole = RunFolder.create(run.path.parent, "survey")
    write(whole, entries)
    for index in whole.journal.glob("*.index.json"):
        index.unlink()
    write(run, entries, segment_bytes=1500)
    assert len(list(run.journal.glob("*.index.json"))) > 10

    def seen(folder: RunFolder) -> tuple[dict[str, Any], list[Entry]]:
        return vars(RunState.read(folder)) | {"id": "", "path": ""}, list(read_instances(folder))

    assert seen(run) == seen(whole)


def test_an_index_is_used_while_it_fits_and_not_after(run: RunFolder, done: Done) -> None:
    write(run, [done("a", "x")])
    segment, index = run.journal / "000001.jsonl", run.journal / "000001.index.json"
    whole = segment.read_bytes()
    times = segment.stat()

    def put(data: bytes) -> None:
        segment.write_bytes(data)
        os.utime(segment, ns=(times.st_atime_ns, times.st_mtime_ns))

    # With size and time as they were, the index speaks and the segment is not read.
    put(whole.replace(b'"done"', b'"d0ne"'))
    assert RunState.read(run).steps["a"].done == 1
    # With another size it does not.
    put(whole.replace(b'"done"', b'"d0ne"') + b"{")
    with pytest.raises(RecordError, match="a line is not as it was written"):
        RunState.read(run)
    put(whole)
    os.utime(segment)
    index.write_bytes(index.read_bytes().replace(b'"kind":"d"', b'"kind":"f"'))
    assert RunState.read(run).steps["a"].done == 1


def test_an_index_of_an_older_version_is_not_used(run: RunFolder, done: Done) -> None:
    write(run, [done("a", "x")])
    index = run.journal / "000001.index.json"
    older = lines.decode(index.read_bytes(), 0) | {"v": INDEX_VERSION - 1}
    older["index"]["steps"]["a"]["kind"] = "f"
    index.write_bytes(lines.sealed(lines.encode(older), 0))
    assert RunState.read(run).steps["a"] == StepCounts(done=1, status="stopped")
    JournalWriter(run.journal).close()
    assert lines.decode(index.read_bytes(), 0)["v"] == INDEX_VERSION


def test_an_index_that_goes_beyond_the_end_of_its_segment_is_not_used(run: RunFolder, done: Done) -> None:
    write(run, [done("a", "x"), done("a", "y")])
    first, second, _ = (run.journal / "000001.jsonl").read_bytes().splitlines(keepends=True)
    (run.journal / "000002.jsonl").write_bytes(header_line(2, len(first + second), 1.0))
    assert RunState.read(run).steps["a"].done == 1


def test_a_reader_writes_nothing(run: RunFolder, done: Done) -> None:
    write(run, [done("a", "x")])
    (run.journal / "000001.index.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    RunState.read(run)
    list(read_instances(run))
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def test_the_next_writer_leaves_the_indexes_that_are_missing(run: RunFolder, done: Done) -> None:
    write(run, [done("a", "x")])
    index = run.journal / "000001.index.json"
    index.write_text("{")
    JournalWriter(run.journal).close()
    assert RunState.read(run).steps["a"].done == 1
    assert index.stat().st_size > 100


def test_usage_that_a_server_does_not_tell_counts_as_nothing(run: RunFolder, done: Done) -> None:
    write(run, [done("a", "x", call={"usage": None}), done("a", "y", call={"usage": {"prompt_tokens": 3}})])
    state = RunState.read(run)
    assert (state.calls, state.usage) == (2, Usage(3, 0, 0))


def test_the_ends_of_a_step_come_in_the_order_of_its_items(run: RunFolder, done: Done) -> None:
    writer = JournalWriter(run.journal, segment_bytes=500)
    for index in (3, 0, 2, 1, 3):
        writer.append(done("a", f"k{index}", index=index, output=index))
        writer.append(done("b", f"k{index}", index=0))
        writer.flush()
    writer.append(done("a", "k0", index=4, output="again"))
    writer.close()
    assert len(list(run.journal.glob("*.jsonl"))) > 2
    assert [(entry["key"], entry["output"]) for entry in read_in_order(run, "a")] == [
        ("k1", 1),
        ("k2", 2),
        ("k3", 3),
        ("k0", "again"),
    ]
    assert list(read_in_order(run, "c")) == []
