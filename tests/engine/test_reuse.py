"""Results of earlier runs are used where nothing that they depend on has changed, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_kit import Bench, counts, entries, error_of

from metis_flow import Workflow
from metis_flow.api import Run
from metis_flow.engine.options import RunOptions
from metis_flow.errors import UsageError
from metis_flow.plan.selection import Selection
from metis_flow.views.outlook import Outlook, look_ahead

FOUR_STEPS = """
    params: {rows: {type: path, default: rows.txt}}
    steps:
      load: {python: "rows:load", with: {path: "${{ params.rows }}"}}
      ask:
        foreach: ${{ steps.load.output }}
        key: ${{ item }}
        chat: {user: "What is ${{ item }}?", temperature: 0}
      judge:
        foreach: ${{ steps.ask.results }}
        as: it
        chat: {user: "Is it right: ${{ it.output }}", temperature: 0}
      report: {python: "rows:report", with: {answers: "${{ steps.judge.outputs }}"}}
"""
CODE = """
    import helper

    def load(path):
        from pathlib import Path
        return Path(path).read_text().split()

    def report(answers):
        return helper.count(answers)
"""


@pytest.fixture
def study(chat_bench: Bench) -> Bench:
    """A folder with a workflow of four steps, and what they read."""
    chat_bench.write("rows.txt", "iron zinc gold")
    chat_bench.write("rows.py", CODE)
    chat_bench.write("helper.py", "def count(answers):\n    return len(answers)\n")
    return chat_bench


def made(run: Run) -> dict[str, list[str | None]]:
    """The keys of the instances of each step that were run, and not taken from an earlier run."""
    found: dict[str, list[str | None]] = {}
    for entry in entries(run, "done"):
        if "cached" not in entry:
            found.setdefault(entry["step"], []).append(entry["key"])
    return {step: sorted(keys, key=str) for step, keys in found.items()}


def outlook(bench: Bench, text: str = FOUR_STEPS, **more: object) -> Outlook:
    """What the plan says of the next run."""
    plan = bench.workflow(text).plan()
    return look_ahead(plan, RunOptions(endpoint="local", runs_dir=bench.folder / "runs", **more))  # type: ignore[arg-type]


def foreseen(seen: Outlook) -> dict[str, list[str | None]]:
    """The keys of the instances that the plan says are run."""
    steps = seen.foresight.steps.items()
    return {name: keys for name, step in steps if (keys := [i.key for i in step.instances if i.action == "run"])}


def test_a_second_run_makes_nothing_again(study: Bench) -> None:
    first = study.run(FOUR_STEPS)
    assert made(first)["ask"] == ["gold", "iron", "zinc"]
    seen = outlook(study)
    assert foreseen(seen) == {}
    assert seen.why["ask"] == [f"cached from {first.id}"] * 3
    second = study.run(FOUR_STEPS)
    assert made(second) == {}
    assert (second.state.calls, second.state.cached) == (0, 8)
    assert {e["cached"]["run"] for e in entries(second, "done")} == {first.id}
    assert list(second.rows("judge")) == list(first.rows("judge"))
    third = study.run(FOUR_STEPS)  # what was taken itself is no new origin
    assert {e["cached"]["run"] for e in entries(third, "done")} == {first.id}


def test_one_word_of_one_prompt_runs_exactly_what_depends_on_it(study: Bench) -> None:
    study.run(FOUR_STEPS)
    changed = FOUR_STEPS.replace("Is it right", "Is it true")
    seen = outlook(study, changed)
    assert foreseen(seen) == {"judge": ["iron", "zinc", "gold"]}
    assert set(seen.why["judge"]) == {"prompt, line 15"}
    assert not seen.foresight.steps["report"].complete
    assert made(study.run(changed)) == {"judge": ["gold", "iron", "zinc"], "report": [None]}


def test_a_file_that_is_touched_changes_nothing(study: Bench) -> None:
    study.run(FOUR_STEPS)
    (study.folder / "rows.txt").touch()
    (study.folder / "rows.py").touch()
    assert made(study.run(FOUR_STEPS)) == {}


@pytest.mark.parametrize("file", ["rows.py", "helper.py"])
def test_code_that_changes_runs_again_where_it_is_called(study: Bench, file: str) -> None:
    study.run(FOUR_STEPS)
    path = study.folder / file
    path.write_text(
        path.read_text().replace("len(answers)", "len(answers) + 0").replace("helper.count", "1 * helper.count")
    )
    seen = outlook(study)
    assert seen.why["load"] == ["task source"]
    assert made(study.run(FOUR_STEPS)) == {"load": [None], "report": [None]}


def test_a_row_that_changes_runs_its_own_instances(study: Bench) -> None:
    study.run(FOUR_STEPS)
    study.write("rows.txt", "iron tin gold")
    assert made(study.run(FOUR_STEPS)) == {"load": [None], "ask": ["tin"], "judge": ["tin"], "report": [None]}


@pytest.mark.parametrize(
    ("settings", "shared"),
    [("temperature: 0", True), ("seed: 4", True), ("temperature: 0.5, seed: 4", True), ("temperature: 0.5", False)],
)
def test_a_sample_without_a_seed_is_used_by_resume_only(chat_bench: Bench, settings: str, shared: bool) -> None:
    text = f"steps: {{a: {{chat: {{user: hi, {settings}}}}}}}"
    chat_bench.run(text)
    seen = outlook(chat_bench, text)
    why = seen.why["a"][0]
    assert why.startswith("cached") if shared else why == "a sample: it has no seed, and no temperature of 0"
    assert made(chat_bench.run(text)) == ({} if shared else {"a": [None]})


@pytest.mark.parametrize(("word", "shared"), [("", False), (", cache: true", True), (", cache: false", False)])
def test_scripts_share_their_results_where_they_say_so(bench: Bench, word: str, shared: bool) -> None:
    text = f"steps: {{a: {{run: 'echo hi > f', output: {{path: f}}{word}}}}}"
    bench.run(text)
    assert made(bench.run(text)) == ({} if shared else {"a": [None]})


def test_a_step_that_is_not_to_be_cached_runs_each_time(bench: Bench) -> None:
    bench.write("rows.py", "def f():\n    return 1\n")
    text = "steps: {a: {python: 'rows:f', cache: false}}"
    bench.run(text)
    assert made(bench.run(text)) == {"a": [None]}


def test_a_file_of_an_earlier_run_that_was_changed_is_made_again(bench: Bench) -> None:
    text = "steps: {a: {run: 'echo hi > f', output: {path: f}, cache: true}}"
    first = bench.run(text)
    Path(next(first.rows("a"))["output"]["path"]).write_text("something else")
    assert made(bench.run(text)) == {"a": [None]}


def test_what_writes_into_the_outputs_of_its_run_runs_each_time(bench: Bench) -> None:
    text = """
    steps: {a: {uses: write_rows, with: {rows: [{x: 1}], path: out.csv}}}
    outputs: {table: "${{ steps.a.output }}"}
    """
    bench.run(text)
    second = bench.run(text)
    assert made(second) == {"a": [None]}
    assert (second.folder.outputs / "out.csv").is_file()


def test_no_cache_and_force_run_again_what_they_say(study: Bench) -> None:
    study.run(FOUR_STEPS)
    assert set(made(study.run(FOUR_STEPS, cache=False))) == {"load", "ask", "judge", "report"}
    seen = outlook(study, forced=frozenset({"ask"}))
    assert set(seen.why["ask"]) == {"forced"}
    assert made(study.run(FOUR_STEPS, force=["ask"])) == {"ask": ["gold", "iron", "zinc"]}


def test_a_part_of_a_workflow_takes_the_rest_from_earlier_runs(study: Bench) -> None:
    sampled = FOUR_STEPS.replace("temperature: 0", "temperature: 0.7")
    first = study.run(sampled, selection=Selection(until="ask"))
    assert set(made(first)) == {"load", "ask"}
    assert first.state.steps["report"].status == "skipped"
    assert first.state.steps["report"].reason == "left out by --until ask"
    second = study.run(sampled, selection=Selection(start="judge"))
    assert set(made(second)) == {"judge", "report"}
    third = study.run(sampled, selection=Selection(only="report"))
    assert made(third) == {}  # its function was called with the same arguments before
    assert third.state.cached == 8


def test_a_part_whose_earlier_results_are_missing_says_so(study: Bench) -> None:
    run = study.run(FOUR_STEPS, selection=Selection(only="ask"))
    assert run.status == "failed"
    assert error_of(run, "load")["summary"] == "no earlier run has this result, and --only ask does not make it"
    assert counts(run, "ask") == (0, 0, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"selection": Selection(only="aks")}, "there is no step 'aks' to select"),
        (
            {"selection": Selection(start="judge", until="load")},
            "no step is left to run with --from judge --until load",
        ),
        ({"force": ["reprot"]}, "there is no step 'reprot' to force"),
    ],
)
def test_a_step_that_is_not_there_is_refused_before_anything_starts(
    study: Bench, options: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        study.run(FOUR_STEPS, **options)
    assert not (study.folder / "runs").exists()


def test_another_model_is_asked_anew(study: Bench) -> None:
    study.run(FOUR_STEPS)
    path = study.folder / "trial.yaml"
    path.write_text(path.read_text().replace("model: gpt-oss-120b", "model: other-model"))
    options = RunOptions(endpoint="local", runs_dir=study.folder / "runs")
    seen = look_ahead(Workflow.load(path).plan(), options)
    assert foreseen(seen) == {"ask": ["iron", "zinc", "gold"]}
    assert set(seen.why["ask"]) == {"model, line 3"}
