"""Rows that are too many for a line of the journal, from the file that they come from to the one that they go to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_kit import HEADER, MODEL, Bench, entries, error_of, rows
from rows_kit import FILE, few, rows_bench, rows_file

from metis_flow.errors import TaskFailed
from metis_flow.workflow.rows import FileRows

FLOW = """
steps:
  load: {uses: read_rows, with: {path: "${{ params.rows }}"}}
  ask:
    foreach: ${{ steps.load.output }}
    as: row
    key: ${{ row.name }}
    if: row.n != 7
    python: "work:one"
    with: {row: "${{ row }}"}
    on_error: continue
  late: {python: "work:slow", with: {}}
  next:
    foreach: ${{ steps.ask.results }}
    needs: [late]
    python: "work:told"
    with: {hit: "${{ item }}"}
  save: {uses: write_rows, with: {rows: "${{ steps.ask.results }}", path: "${{ params.to }}"}, on_error: continue}
  plain: {python: "work:kinds", with: {rows: "${{ steps.load.output }}", results: "${{ steps.ask.results }}"}}
  count: {uses: count, with: {values: "${{ steps.ask.outputs | map(attribute='half') | list }}"}}
  first: {run: "cat", stdin: "${{ steps.ask.outputs[0] }}", files: {all.json: "${{ steps.ask.results }}"}}
params: {rows: {type: path}, to: {type: string, default: a.jsonl}}
outputs:
  outputs: ${{ steps.ask.outputs }}
  errors: ${{ steps.ask.results | selectattr('status', 'equalto', 'failed') | map(attribute='error.summary') | list }}
  number: ${{ steps.ask.results | length }}
  next: ${{ steps.next.outputs }}
  plain: ${{ steps.plain.output }}
  count: ${{ steps.count.output }}
  first: ${{ steps.first.output }}
  rows: ${{ steps.load.output }}
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return rows_bench(tmp_path)


@pytest.mark.parametrize("to", ["a.jsonl", "a.json", "deep/a.csv"])
def test_many_are_treated_like_few(bench: Bench, monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    given = {"rows": str(bench.folder / "rows.jsonl"), "to": to}
    small = bench.run(FLOW, given, cache=False)
    few(monkeypatch)
    many = bench.run(FLOW, given, cache=False)
    assert many.state.status == small.state.status
    assert many.outputs == small.outputs
    assert many.outputs["number"] == 30
    assert many.outputs["plain"] == [
        "list",
        "list",
        30,
        {"key": "p0", "status": "done", "output": {"name": "p0", "half": 0}, "error": None},
        "dict",
    ]
    assert [entry["kind"] for entry in entries(small, "done", "load")] == ["json"]
    assert [entry["kind"] for entry in entries(many, "done", "load")] == ["rows"]
    for step in ("load", "ask", "next", "save", "first"):
        assert rows(many, step) == rows(small, step)
    cks = [[(e["step"], e["key"], e["ck"]) for e in entries(run, "done")] for run in (small, many)]
    assert sorted(cks[0], key=str) == sorted(cks[1], key=str)
    if to != "deep/a.csv":  # a cell of a table holds no object
        written = [(run.folder.outputs / to).read_bytes() for run in (small, many)]
        assert written[0] == written[1] != b""
    files = [next(run.folder.steps.rglob("all.json")).read_bytes() for run in (small, many)]
    assert files[0] == files[1]


def test_what_is_known_of_a_list_in_a_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    run = bench.run('steps: {load: {uses: read_rows, with: {path: "${{ params.rows }}"}}}\n' + FILE)
    [entry] = entries(run, "done", "load")
    path = run.folder.path / entry["folder"] / Path(entry["output"]["path"]).name
    assert entry["output"] == {
        "path": str(path),
        "rows": 30,
        "bytes": path.stat().st_size,
        "sha256": entry["output"]["sha256"],
    }
    [row] = run.rows("load")
    assert isinstance(row["output"], FileRows)
    assert [one["n"] for one in row["output"]] == list(range(30))


def test_a_schema_is_checked_on_the_list(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    flow = 'steps: {load: {uses: read_rows, with: {path: "${{ params.rows }}"}, output: {schema: {maxItems: %d}}}}\n'
    run = bench.run(flow % 3 + FILE)
    assert error_of(run, "load")["kind"] == "output_invalid"
    run = bench.run(flow % 30 + FILE)
    assert [entry["kind"] for entry in entries(run, "done")] == ["json"]


def test_a_step_in_another_process_reads_and_writes_rows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    (bench.folder / "big.jsonl").write_text("".join(json.dumps("x" * 1000) + "\n" for _ in range(2000)))
    run = bench.run("""
        params: {big: {type: path, default: big.jsonl}}
        steps:
          load: {uses: read_rows, with: {path: "${{ params.big }}"}, timeout: 1m}
          save: {uses: write_rows, with: {rows: "${{ steps.load.output }}", path: b.jsonl}, timeout: 1m}
        """)
    assert (run.folder.outputs / "b.jsonl").read_bytes() == (bench.folder / "big.jsonl").read_bytes()
    assert [entry["kind"] for entry in entries(run, "done")] == ["rows", "json"]


def test_a_generator_of_rows_may_fail_on_the_way(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    bench.write("more.py", "def rows(last):\n    yield from range(100)\n    yield last()\n    yield object()\n")
    bench.write(
        "last.py", "import more\ndef bad():\n    return more.rows(lambda: 1 / 0)\ndef odd():\n    return more.rows(int)"
    )
    run = bench.run("steps: {a: {python: 'last:bad', with: {}}, b: {python: 'last:odd', with: {}}}")
    assert error_of(run, "a")["summary"] == "ZeroDivisionError: division by zero"
    assert "more.py" in error_of(run, "a")["detail"]
    assert error_of(run, "b")["summary"] == "result[101] is an object, which is not JSON"
    assert [path for path in run.folder.steps.rglob("*") if path.is_file()] == []


def test_no_more_rows_are_read_than_are_wanted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    rows_file(bench.folder, 5000)
    read: list[int] = []
    reading = FileRows._read

    def counted(own: FileRows, *place: Any) -> Any:
        read.append(1)
        return reading(own, *place)

    monkeypatch.setattr(FileRows, "_read", counted)
    run = bench.run(FLOW.partition("  late")[0] + FILE, limit=5)
    assert run.state.steps["ask"].done == 5
    assert len(read) == 5


def test_a_called_workflow_takes_and_gives_rows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    bench.write(
        "child.yaml",
        f"version: 1\nname: child\nmodel: {MODEL}\nparams: {{rows: {{type: array}}}}\n"
        "steps:\n"
        '  a: {foreach: "${{ params.rows }}", python: "work:one", with: {row: "${{ item }}"}, on_error: continue}\n'
        "outputs: {halves: \"${{ steps.a.outputs | map(attribute='half') | list }}\"}\n",
    )
    run = bench.run("""
        params: {rows: {type: path, default: rows.jsonl}}
        steps:
          load: {uses: read_rows, with: {path: "${{ params.rows }}"}}
          sub: {workflow: child.yaml, with: {rows: "${{ steps.load.output }}"}}
        outputs: {sub: "${{ steps.sub.output.halves }}"}
        """)
    assert run.outputs["sub"] == [n // 2 for n in range(30) if n != 5]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Sixty megabytes of rows, read into the record and written out of it, in a process of its own."""
    steps = """
params: {rows: {type: path, default: rows.jsonl}}
steps:
  load: {uses: read_rows, with: {path: "${{ params.rows }}"}}
  save: {uses: write_rows, with: {rows: "${{ steps.load.output }}", path: a.jsonl}}
"""
    (tmp_path / "w.yaml").write_text(HEADER + steps)
    most = []
    for number in (10, 6000):
        rows_file(tmp_path, number, text="x" * 10_000)
        code = f"""
from pathlib import Path
from metis_flow import Workflow
run = Workflow.load({str(tmp_path / "w.yaml")!r}).run(runs_dir={str(tmp_path / "runs")!r}, cache=False)
assert run.status == "done"
print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])
"""
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        most.append(int(ended.stdout) / 1024)
    assert most[1] - most[0] < 25, most


def test_rows_from_python_are_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    few(monkeypatch)
    from metis_flow.tasks import read_rows

    path = str(rows_file(tmp_path))
    there = read_rows(path=path)
    assert isinstance(there, list)
    sent = read_rows.submit(path=path).result()
    assert isinstance(sent, list)
    assert there == sent
    with pytest.raises(TaskFailed, match="there is no such file"):
        read_rows(path="nowhere.csv")


def test_a_task_of_the_users_own_takes_and_gives_rows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    bench.write(
        "lab.py",
        """
        from collections.abc import Iterable
        from metis_flow import task

        @task
        def odd(rows: Iterable[dict], seen: list) -> Iterable[dict]:
            total = sum(1 for row in rows)
            for row in rows:
                if row["n"] % 2:
                    yield {**row, "of": total, "as": [type(rows).__name__, type(seen).__name__]}
        """,
    )
    run = bench.run("""
        params: {rows: {type: path, default: rows.jsonl}}
        steps:
          load: {uses: read_rows, with: {path: "${{ params.rows }}"}}
          odd: {uses: odd, with: {rows: "${{ steps.load.output }}", seen: "${{ steps.load.output }}"}}
        outputs: {odd: "${{ steps.odd.output }}"}
        """)
    kinds = ["FileRows", "list"]
    assert run.outputs["odd"] == [{"name": f"p{n}", "n": n, "of": 30, "as": kinds} for n in range(1, 30, 2)]
    assert [entry["kind"] for entry in entries(run, "done")] == ["rows", "rows"]
