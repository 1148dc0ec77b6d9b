"""Results that are read back from the journal: for gathering, for a resume, for another run, for an error."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from engine_kit import Bench, entries, said
from rows_kit import WORK, few, rows_bench, rows_file

from metis_flow.api import Run
from metis_flow.engine import kept
from metis_flow.engine.foresight import foresee
from metis_flow.engine.options import RunOptions
from metis_flow.engine.reuse import results_for


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return rows_bench(tmp_path)


def test_two_equal_keys_show_both_items(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    bench.write("twice.jsonl", "".join(json.dumps({"name": n % 20, "n": n}) + "\n" for n in range(24)))
    run = bench.run("""
        params: {twice: {type: path, default: twice.jsonl}}
        steps:
          load: {uses: read_rows, with: {path: "${{ params.twice }}"}}
          a:
            {foreach: "${{ steps.load.output }}", key: "${{ item.name }}", repeat: 2,
             on_error: continue, python: "work:told", with: {hit: {key: "${{ item.n % 6 }}", status: 1}}}
          b: {foreach: "${{ steps.a.outputs }}", key: "${{ item[0] }}", on_error: continue, python: "work:slow"}
        """)
    errors = [entry["error"] for entry in entries(run, "failed", "a")]
    assert len(errors) == 8
    assert errors[0]["summary"] == "items 0 and 40 have the same key '0,repeat=0'"
    assert errors[0]["detail"] == (
        'item 0: {"repeat": 0, "item": {"name": 0, "n": 0}}\nitem 40: {"repeat": 0, "item": {"name": 0, "n": 20}}'
    )
    made = {entry["index"]: json.dumps(entry["output"]) for entry in entries(run, "done", "a")}
    followed = [entry["error"] for entry in entries(run, "failed", "b") if entry["index"] in made]
    assert len(followed) == 40 - 6
    for error in followed:
        found = re.fullmatch(r"items (\d+) and (\d+) have the same key '\d'", error["summary"])
        assert found is not None
        assert error["detail"] == "\n".join(f"item {index}: {made[int(index)]}" for index in found.groups())


def test_a_resume_goes_on_with_the_rows_or_makes_them_again(chat_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    flow = """
        limits: {calls: %d, concurrency: 1}
        params: {rows: {type: path, default: rows.jsonl}}
        steps:
          load: {uses: read_rows, with: {path: "${{ params.rows }}"}}
          ask: {foreach: "${{ steps.load.output }}", key: "${{ item.name }}", chat: "n ${{ item.n }}"}
          save: {uses: write_rows, with: {rows: "${{ steps.ask.results }}", path: a.jsonl}}
        outputs: {a: "${{ steps.ask.outputs }}"}
        """
    rows_file(chat_bench.folder)
    run = chat_bench.run(flow % 10)
    assert (run.status, run.state.calls) == ("stopped", 10)
    path = Path(entries(run, "done", "load")[0]["output"]["path"])
    for calls, harm in ((15, lambda: None), (20, path.unlink), (30, lambda: path.write_bytes(path.read_bytes()[:-9]))):
        harm()
        chat_bench.workflow(flow % calls)
        run = Run.open(run.id, chat_bench.folder / "runs").resume(accept=True)
        assert run.state.calls == calls
    assert run.status == "done"
    assert run.outputs["a"] == [f"n {n}" for n in range(30)]
    assert len(entries(run, "done", "load")) == 3
    assert len(list(path.parent.iterdir())) == 1
    written = [json.loads(line) for line in (run.folder.outputs / "a.jsonl").read_text().splitlines()]
    assert [(row["key"], row["output"]) for row in written] == [(f"p{n}", f"n {n}") for n in range(30)]


def test_items_in_another_order_find_their_results(chat_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    flow = """
        limits: {calls: %d, concurrency: 1}
        steps:
          load: {uses: read_rows, with: {path: "${{ params.rows }}"}}
          ask: {foreach: "${{ steps.load.output }}", key: "${{ item.name }}", chat: "n ${{ item.n }}"}
        params: {rows: {type: path, default: rows.jsonl}}
        outputs: {a: "${{ steps.ask.results | map(attribute='key') | list }}"}
        """
    path = rows_file(chat_bench.folder)
    run = chat_bench.run(flow % 20)
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    chat_bench.workflow(flow % 30)
    run = Run.open(run.id, chat_bench.folder / "runs").resume(accept=True)
    assert run.outputs["a"] == [f"p{n}" for n in reversed(range(30))]
    assert run.state.calls == 30


def test_another_run_takes_the_rows_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    flow = """
        params: {rows: {type: path, default: rows.jsonl}}
        steps:
          load: {uses: read_rows, with: {path: "${{ params.rows }}"}}
          save: {uses: write_rows, with: {rows: "${{ steps.load.output }}", path: a.jsonl}}
        """
    first = bench.run(flow)
    second = bench.run(flow)
    assert (second.state.steps["load"].cached, second.state.steps["save"].cached) == (1, 0)
    shutil.rmtree(first.folder.path)
    [row] = second.rows("load")
    assert [one["n"] for one in row["output"]] == list(range(30))
    third = bench.run(flow)
    assert third.state.steps["load"].cached == 1
    for path in bench.folder.rglob("steps/load/*/rows-*.jsonl"):
        path.write_text("[]\n")
    fourth = bench.run(flow)
    assert fourth.state.steps["load"].cached == 0
    assert (fourth.folder.outputs / "a.jsonl").read_text() == (bench.folder / "rows.jsonl").read_text()


def test_conversations_of_many_results(chat_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    chat_bench.answers.rule = lambda body, n: said(body).upper()
    run = chat_bench.run("""
        steps:
          a: {foreach: "${{ range(9) }}", chat: "a ${{ item }}"}
          b: {foreach: "${{ steps.a.results }}", needs: [a], chat: {messages: "${{ item.messages }}", user: more}}
        outputs: {said: "${{ steps.a.results[8].messages }}", rows: "${{ steps.a.results }}"}
        """)
    asked = next(entry["call"]["messages"] for entry in entries(run, "done", "b") if entry["key"] == "3")
    assert [message["content"] for message in asked] == ["a 3", "A 3", "more"]
    assert [message["content"] for message in run.outputs["said"]] == ["a 8", "A 8"]
    assert set(run.outputs["rows"][0]) == {"key", "status", "output", "error"}


@pytest.mark.parametrize(
    "what", ['chat: "${{ item }}"', 'run: "exit $1", args: ["${{ item % 2 }}"]', "python: work:slow"]
)
def test_of_results_only_places_are_kept(chat_bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    held: list[bool] = []
    place_of = kept.Ends.place_of

    def watched(own: kept.Ends, *result: Any) -> int:
        place = place_of(own, *result)
        held.append(bool(own.held))
        return place

    monkeypatch.setattr(kept.Ends, "place_of", watched)
    chat_bench.write("work.py", WORK)
    step = f'foreach: "${{{{ range(6) }}}}", if: item != 3, {what}, on_error: continue'
    flow = f"steps: {{a: {{{step}}}}}\noutputs: {{a: \"${{{{ steps.a.results | map(attribute='status') | list }}}}\"}}"
    first = chat_bench.run(flow)
    second = chat_bench.run(flow)
    assert second.outputs == first.outputs
    resumed = Run.open(second.id, chat_bench.folder / "runs").resume(failed=True)
    assert resumed.outputs == first.outputs
    assert (len(held) >= 12, any(held)) == (True, False)


def test_a_run_is_thought_through_so_far_only(bench: Bench) -> None:
    steps = 'a: {foreach: "${{ range(1000000000) }}", python: "work:slow"}, b: {needs: [a], python: "work:slow"}'
    plan = bench.workflow(f"steps: {{{steps}}}").plan()
    options = RunOptions(runs_dir=bench.folder / "runs")
    seen = foresee(plan, options, None, results_for(plan, options, None), most=7)
    assert (seen.cut, {name: len(step.instances) for name, step in seen.steps.items()}) == (True, {"a": 7, "b": 0})


def test_a_step_that_falls_behind_gets_every_result_in_turn(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    bench.write("slow.py", "import time\ndef told(hit):\n    time.sleep(0.01)\n    return hit\n")
    run = bench.run("""
        steps:
          a:
            {foreach: "${{ range(40) }}", if: item != 4,
             python: "work:told", with: {hit: {key: "${{ item }}", status: 0}}}
          b: {foreach: "${{ steps.a.outputs }}", max_parallel: 1, python: "slow:told", with: {hit: "${{ item }}"}}
        """)
    ended = entries(run, "done", "b")
    assert {entry["key"]: entry["output"] for entry in ended} == {str(n): [n, 0] for n in range(40) if n != 4}
    first = [int(entry["key"]) for entry in entries(run, step="a") if entry["e"] in ("done", "skipped")]
    assert [int(entry["key"]) for entry in ended] == [n for n in first if n != 4]


def test_files_among_many_results_are_paths_to_a_task_and_files_to_a_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(monkeypatch)
    run = bench.run("""
        steps:
          a: {foreach: "${{ range(6) }}", run: "echo $1 > f", args: ["${{ item }}"], output: {path: f}}
          save: {uses: write_rows, with: {rows: "${{ steps.a.results }}", path: a.jsonl}}
          last: {run: cat last, files: {last: "${{ steps.a.outputs[5] }}"}}
        outputs: {last: "${{ steps.last.output }}"}
        """)
    written = [json.loads(line) for line in (run.folder.outputs / "a.jsonl").read_text().splitlines()]
    assert [Path(row["output"]).read_text() for row in written] == [f"{n}\n" for n in range(6)]
    assert run.outputs["last"] == "5"
