"""What stands behind a report: texts that fit, numbers over time, outputs as tables and pictures, words about a run."""

from __future__ import annotations

import base64
import gzip
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_kit import Study

from metis_flow.plan.graph import Edge, Graph
from metis_flow.record.folder import RunFolder
from metis_flow.record.lockfile import read_lock
from metis_flow.record.state import RunState, StepCounts
from metis_flow.views.report.contents import Contents
from metis_flow.views.report.facts import headline, next_command, rerun_command
from metis_flow.views.report.gather import CallPoint, Row, ready_times
from metis_flow.views.report.markdown import looks_like_markdown, markdown_html
from metis_flow.views.report.outputs import Pictures, show_outputs
from metis_flow.views.report.series import latencies, throughput, tokens_a_minute
from metis_flow.views.report.texts import LONG, MANY, Chosen, Texts, clipped


def unpacked(chosen: Chosen) -> dict[int, Any]:
    """The texts of a page, by their numbers."""
    chunks = [json.loads(gzip.decompress(base64.b64decode(chunk))) for chunk in chosen.chunks]
    return {number: chunks[chunk][place] for number, (chunk, place) in chosen.places.items()}


def noise(chance: random.Random, size: int) -> str:
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz ", k=size))


def row(step: str, index: int, began: float | None, ended: float | None, status: str = "done") -> Row:
    return Row(step, f"{step}@{index}", index, status, began, ended, 0, 1, 0, 0, None, "", -1)


def test_all_texts_are_there_where_they_fit() -> None:
    texts = Texts()
    details = [{"number": number, "long": "x" * (2 * LONG)} for number in range(30)]
    for detail in details:
        texts.add(detail, 3)
    chosen = texts.choose(100_000)
    assert unpacked(chosen) == dict(enumerate(details))
    assert chosen.cut == 0


def test_failures_go_first_where_not_all_fit_and_the_rest_is_spread_evenly() -> None:
    chance, texts = random.Random(1), Texts()
    for number in range(2000):
        texts.add({"number": number, "text": noise(chance, 2000)}, 0 if number % 100 == 0 else 3)
    chosen = texts.choose(1_000_000)
    found = unpacked(chosen)
    assert sum(map(len, chosen.chunks)) <= 1_000_000
    assert {number: detail["number"] for number, detail in found.items()} == {number: number for number in found}
    assert {number for number in range(2000) if number % 100 == 0} <= set(found)
    assert 300 < len(found) < 800
    quarters = [sum(500 * part <= number < 500 * (part + 1) for number in found) for part in range(4)]
    assert max(quarters) < 1.2 * min(quarters)


def test_long_texts_are_cut_only_where_not_all_fit() -> None:
    chance, texts = random.Random(1), Texts()
    for _ in range(4):
        texts.add({"text": noise(chance, 3 * LONG), "rows": list(range(MANY + 5))}, 3)
    chosen = texts.choose(150_000)
    assert chosen.cut == len(chosen.places) == 4
    detail = unpacked(chosen)[0]
    assert detail["text"].endswith(f"… ({2 * LONG:,} more characters)")
    assert detail["rows"][-1] == "… (5 more)"


def test_what_is_short_is_not_clipped() -> None:
    value = {"a": ["x" * LONG, 1, None, True], "b": {"c": 1.5}}
    assert clipped(value) == value
    assert clipped({str(number): 0 for number in range(MANY + 2)})["…"] == "2 more"


def test_an_instance_is_ready_when_all_it_waits_for_has_ended() -> None:
    edges = (Edge("a", "b", "item"), Edge("a", "c", "gather"))
    graph = Graph(("a", "b", "c"), edges, {"a": 0, "b": 1, "c": 1})
    rows = [row("a", 0, 1, 2), row("a", 1, 1, 5), row("b", 0, 4, 6), row("b", 1, 4.5, 6), row("c", 0, 7, 8)]
    assert list(ready_times(rows, graph, 0.0)) == [0, 0, 2, 4.5, 5]
    assert list(ready_times([row("a", 0, None, None)], graph, 3.0)) == [3]
    assert list(ready_times(rows[:1], None, 0.0)) == [1]


def test_numbers_over_time() -> None:
    rows = [row("a", 0, 0, 0.5), row("a", 1, 0, 59, "failed"), row("a", 2, None, None, "skipped"), row("a", 3, 0, 60)]
    buckets = throughput(rows, 0.0, 60.0)
    assert buckets.width == 1
    done, failed = dict(buckets.series)["done"], dict(buckets.series)["failed"]
    assert (done[0], done[60], sum(done)) == (1, 1, 2)
    assert (failed[59], sum(failed)) == (1, 1)
    tokens = tokens_a_minute([CallPoint(30.2, 1, "m", 100, 20)], 0.0, 60.0)
    assert (dict(tokens.series)["in"][30], dict(tokens.series)["out"][30]) == (6000, 1200)


def test_how_long_calls_took() -> None:
    calls = [CallPoint(0, second, "small", 1, 1) for second in range(1, 101)] + [CallPoint(0, 3, "large", 1, 1)]
    small, large = latencies(calls)
    assert (small.model, small.count, small.quantiles, small.longest) == ("small", 100, (50, 90, 99), 100)
    assert sum(small.bins) == 100
    assert (large.model, large.quantiles, sum(large.bins)) == ("large", (3, 3, 3), 1)
    assert latencies([CallPoint(0, 0.0, "m", 0, 0)])[0].longest == 0


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a **b**", "<p>a <strong>b</strong></p>\n"),
        ("# T", "<h4>T</h4>\n"),
        ("<b onclick='x'>t</b>", "<p>&lt;b onclick='x'&gt;t&lt;/b&gt;</p>\n"),
        ("[a](javascript:x)", "<p>[a](javascript:x)</p>\n"),
        ("[a](file:///etc/passwd)", "<p>[a](file:///etc/passwd)</p>\n"),
        ("[a](data:text/html,x)", "<p>[a](data:text/html,x)</p>\n"),
        ("[a](https://b.c)", '<p><a href="https://b.c" rel="noopener noreferrer nofollow">a</a></p>\n'),
        ("![a](https://b.c/x.png)", '<p>!<a href="https://b.c/x.png" rel="noopener noreferrer nofollow">a</a></p>\n'),
        ("a\x1b[2J\u202eb", "<p>a\\x1b[2J\\u202eb</p>\n"),
    ],
)
def test_markdown(text: str, html: str) -> None:
    assert markdown_html(text) == html


@pytest.mark.parametrize(
    ("text", "is_markdown"),
    [("# Title\n\n- one", True), ("| a | b |\n|---|---|", True), ("a plain text", False), ("one **bold**", False)],
)
def test_what_looks_like_markdown(text: str, is_markdown: bool) -> None:
    assert looks_like_markdown(text) is is_markdown


def test_outputs_of_all_kinds(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "kinds")
    made = folder.steps / "made"
    made.mkdir()
    (made / "a.png").write_bytes(b"\x89PNG")
    (made / "b.csv").write_text("x,y\n1,=2\n")
    (tmp_path / "secret.png").write_bytes(b"\x89PNG")
    outputs = {
        "number": 1.5,
        "nothing": None,
        "line": "short",
        "lines": "two\nlines",
        "marks": "# T\n\n- **x**\n",
        "rows": [{"a": 1, "b": None}, {"a": 2, "c": [1]}],
        "object": {"a": 1},
        "nested": {"a": {"b": 1}},
        "picture": str(made / "a.png"),
        "reference": {"path": str(made / "b.csv"), "sha256": "0", "bytes": 9},
        "elsewhere": {"path": str(tmp_path / "secret.png"), "sha256": "0", "bytes": 4},
        "out": f"/x/{folder.id}/../secret.png",
    }
    shown = {part.name: part for part in show_outputs(outputs, folder, Pictures(1000))}
    assert {name: part.kind for name, part in shown.items()} == {
        "number": "short",
        "nothing": "short",
        "line": "short",
        "lines": "text",
        "marks": "markdown",
        "rows": "table",
        "object": "table",
        "nested": "text",
        "picture": "image",
        "reference": "table",
        "elsewhere": "file",
        "out": "short",
    }
    assert (shown["rows"].head, shown["rows"].rows) == (["a", "b", "c"], [["1", "", ""], ["2", "", "[1]"]])
    assert shown["picture"].text == "data:image/png;base64,iVBORw=="
    assert shown["reference"].rows == [["1", "=2"]]
    assert shown["elsewhere"].note.endswith("it is not in the record")


def test_pictures_beyond_the_room_are_left_in_the_record(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "kinds")
    path = folder.outputs / "a.png"
    path.write_bytes(bytes(3000))
    assert [part.kind for part in show_outputs({"a": str(path)}, folder, Pictures(3000))] == ["file"]
    assert [part.kind for part in show_outputs({"a": str(path)}, folder, Pictures(5000))] == ["image"]


def test_a_record_that_was_moved_still_shows_its_pictures(survey: RunFolder, tmp_path: Path) -> None:
    moved = RunFolder(tmp_path / survey.id)
    shutil.copytree(survey.path, moved.path)
    pictures = show_outputs(RunState.read(moved).outputs or {}, moved, Pictures(10**6))
    assert "image" in {part.kind for part in pictures}
    assert [file.path for file in Contents.read(moved).gathered.files] == [moved.path / "steps/plot/instance/gaps.png"]


DONE, FAILED = StepCounts(done=3, status="done"), StepCounts(done=1, failed=2, status="failed", reason="2 of 3 failed")
PARTLY = StepCounts(done=1, failed=2, status="done")


@pytest.mark.parametrize(
    ("status", "reason", "steps", "words"),
    [
        ("done", None, {"a": DONE}, "All went well: 3 instances of 1 step."),
        ("done", None, {"a": DONE, "b": PARTLY}, "It ran to its end, but 2 of 3 instances of b failed."),
        (
            "done",
            None,
            {"a": PARTLY, "b": PARTLY},
            "It ran to its end, but 4 of 6 instances failed (2 of a, 2 of b).",
        ),
        ("failed", None, {"a": DONE, "b": FAILED}, "The step b failed: 2 of 3 instances of b failed."),
        ("running", None, {"a": DONE}, "It is going on: 3 instances so far."),
        ("stopped", "SIGTERM", {"a": DONE}, "It was stopped: SIGTERM. 3 instances had ended."),
        (
            "paused",
            "log in",
            {"b": PARTLY},
            "It was paused: log in. 3 instances had ended, 2 of 3 instances of b failed.",
        ),
        ("died", None, {"a": DONE}, "Its process is gone before the end; 3 instances had ended."),
    ],
)
def test_the_outcome_in_one_sentence(status: str, reason: str | None, steps: dict[str, StepCounts], words: str) -> None:
    assert headline(RunState("r", "r", "", status=status, steps=steps, reason=reason)) == words


def test_the_commands_that_go_on(survey: RunFolder) -> None:
    state = RunState.read(survey)
    assert next_command(state, survey) == f"metis-flow resume {survey.path} --failed"
    assert next_command(replace(state, status="stopped"), survey) == f"metis-flow resume {survey.path}"
    assert next_command(replace(state, steps={"a": DONE}), survey) is None


def test_the_command_that_runs_it_again_names_what_is_no_default(survey: RunFolder) -> None:
    contents = Contents.read(survey)
    lock = read_lock(survey)
    endpoint = lock.endpoint
    assert contents.workflow is not None
    assert rerun_command(lock, contents.workflow) == f"metis-flow run {lock.workflow} --endpoint {endpoint}"
    other = replace(lock, parameters={"materials": {"a b": 1}}, endpoint=None, site="polaris", options={"limit": 3})
    expected = f"""metis-flow run {lock.workflow} -p 'materials={{"a b": 1}}' --site polaris --limit 3"""
    assert rerun_command(other, contents.workflow) == expected
    long = replace(other, parameters={"materials": "x" * 1000})
    assert "-p 'materials=…' --site" in rerun_command(long, None)


def test_steps_that_have_not_begun_and_a_workflow_that_cannot_be_read(study: Study) -> None:
    steps = "steps:\n  a: {run: exit 1}\n  b: {needs: [a], chat: x}\n"
    run = study.run(f"version: 1\nname: s\nmodel: {{name: gpt-oss-120b}}\n{steps}")
    contents = Contents.read(run.folder)
    assert [line.name for line in contents.step_lines()] == ["a", "b"]
    assert contents.graph is not None
    run.folder.workflow_file.write_text("no workflow")
    assert Contents.read(run.folder).graph is None
    assert {line.name for line in Contents.read(run.folder).step_lines()} == {"a", "b"}


def test_the_graph_is_drawn_where_only_the_record_is_left(survey: RunFolder, tmp_path: Path) -> None:
    moved = RunFolder(tmp_path / survey.id)
    shutil.copytree(survey.path, moved.path)
    lock = moved.read_json("lock.json")
    moved.lock_file.unlink()
    moved.write_json("lock.json", lock | {"workflow": "/nowhere/survey.yaml"})
    graph = Contents.read(moved).graph
    assert graph is not None
    assert graph.order == ("extract", "relax", "summary", "plot")


def test_cached_results_have_no_time_in_this_run(study: Study) -> None:
    text = "version: 1\nname: c\nmodel: {name: gpt-oss-120b, temperature: 0}\nsteps: {a: {chat: hello}}\n"
    study.run(text)
    contents = Contents.read(study.run(text).folder)
    table = contents.table({})
    assert (table["status"], table["began"], table["ended"]) == (["cached"], [-1], [-1])
