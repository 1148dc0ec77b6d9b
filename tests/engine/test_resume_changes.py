"""``resume`` after the workflow has changed: it says what that affects and why, and goes on where it is accepted."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from engine_kit import HEADER, Bench, entries, said

from metis_flow.api import Run
from metis_flow.engine.wishes import CANCEL
from metis_flow.errors import RecordError
from metis_flow.record.lockfile import read_lock
from metis_flow.record.requests import pending_requests, request

STUDY = """\
    params: {rows: {type: path, default: rows.txt}}
    steps:
      load: {python: "rows:load", with: {path: "${{ params.rows }}"}}
      ask:
        foreach: ${{ steps.load.output }}
        key: ${{ item }}
        chat: {user: {from: ask.md}, temperature: 0}
      judge:
        foreach: ${{ steps.ask.results }}
        as: it
        chat: {user: "Is it right: ${{ it.output }}", temperature: 0}
      report: {python: "final:report", with: {answers: "${{ steps.judge.outputs }}"}}
    outputs: {report: "${{ steps.report.output }}"}
"""
CODE = """\
    import helper

    def load(path):
        with open(path) as file:
            return helper.words(file.read())
"""
FINAL = "def report(answers):\n    return sorted(answers)\n"
METALS = ["gold", "iron", "zinc"]
JUDGED = [f"Is it right: What is {metal}?\nBe brief.\n" for metal in METALS]


@dataclass
class Study:
    """A run that was stopped when only its last step was left, and all that was asked since."""

    bench: Bench
    run: Run
    asked: list[str] = field(default_factory=list)

    @property
    def workflow(self) -> Path:
        return self.bench.folder / "trial.yaml"

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a file beside the workflow."""
        path = self.bench.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def refused(self, **options: bool) -> RecordError:
        """Why the run is not gone on with; nothing has happened."""
        before = self.files()
        with pytest.raises(RecordError) as caught:
            self.run.resume(**options)
        assert self.files() == before
        assert self.asked == []
        return caught.value

    def files(self) -> dict[str, str]:
        """What is in the record, by hash."""
        found = sorted(path for path in self.run.folder.path.rglob("*") if path.is_file())
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def made(self) -> dict[str, list[str | None]]:
        """What the last driver ran, by step."""
        whole = entries(self.run)
        begun = max(number for number, entry in enumerate(whole) if entry["e"] == "start")
        found: dict[str, list[str | None]] = {}
        for entry in whole[begun:]:
            if entry["e"] == "done" and "cached" not in entry:
                found.setdefault(entry["step"], []).append(entry["key"])
        return {step: sorted(keys, key=str) for step, keys in found.items()}


@pytest.fixture
def study(chat_bench: Bench) -> Study:
    chat_bench.write("rows.txt", "iron zinc gold")
    chat_bench.write("rows.py", CODE)
    chat_bench.write("final.py", FINAL)
    chat_bench.write("helper.py", "def words(text):\n    return text.split()\n")
    chat_bench.write("ask.md", "What is ${{ item }}?\nBe brief.\n")
    runs = chat_bench.folder / "runs"
    judging: list[str] = []

    async def stopping(body: dict[str, Any], n: int) -> str:
        """Answers the last three questions once the run has heard that it is to end."""
        if said(body).startswith("Is it right"):
            judging.append(said(body))
            if len(judging) == 3:
                request(Run.open("last", runs).folder, CANCEL, None)
            while len(judging) < 3 or list(pending_requests(Run.open("last", runs).folder)):
                await asyncio.sleep(0.02)
        return said(body)

    chat_bench.answers.rule = stopping
    study = Study(chat_bench, chat_bench.run(STUDY))
    assert study.run.status == "stopped"
    assert study.made() == {"load": [None], "ask": METALS, "judge": METALS}

    def listening(body: dict[str, Any], n: int) -> str:
        study.asked.append(said(body))
        return said(body)

    chat_bench.answers.rule = listening
    return study


def test_a_run_whose_workflow_is_as_it_was_goes_on(study: Study) -> None:
    assert study.run.resume().status == "done"
    assert (study.asked, study.made()) == ([], {"report": [None]})
    assert study.run.outputs == {"report": JUDGED}
    assert not list(study.run.folder.path.glob("workflow-before-*"))


def test_a_changed_prompt_is_refused_with_what_it_affects_and_why(study: Study) -> None:
    study.edit("trial.yaml", "Is it right", "Is it true")
    error = study.refused()
    assert error.summary == "the workflow has changed since this run was started: trial.yaml"
    assert error.where == str(study.workflow)
    assert error.detail == "judge: 3 of 3 run again (prompt, line 14): judge@iron, judge@zinc, judge@gold"
    again = "go on with --accept: what is listed, and what depends on it, runs again"
    assert error.hint == f"{again}; the record keeps both workflows"
    assert error.exit_code == 2


def test_what_is_accepted_runs_again_and_nothing_else(study: Study) -> None:
    before = study.workflow.read_bytes()
    study.edit("trial.yaml", "Is it right", "Is it true")
    assert study.run.resume(accept=True).status == "done"
    assert sorted(study.asked) == [text.replace("right", "true") for text in JUDGED]
    assert study.made() == {"judge": METALS, "report": [None]}
    assert study.run.outputs == {"report": [text.replace("right", "true") for text in JUDGED]}
    record = study.run.folder
    assert (record.path / "workflow-before-1.yaml").read_bytes() == before
    assert record.workflow_file.read_bytes() == study.workflow.read_bytes()
    study.asked.clear()
    assert study.run.resume().status == "done"
    assert study.asked == []


def test_a_change_of_the_first_step_affects_what_can_be_known_and_runs_all_that_depends_on_it(study: Study) -> None:
    study.edit("ask.md", "Be brief.", "Be short.")
    error = study.refused()
    assert error.summary == "the workflow has changed since this run was started: ask.md"
    assert error.detail == "ask: 3 of 3 run again (ask.md, line 2): ask@iron, ask@zinc, ask@gold"
    study.run.resume(accept=True)
    assert study.made() == {"ask": METALS, "judge": METALS, "report": [None]}
    assert len(study.asked) == 6
    assert (study.run.folder.sources / "ask.md").read_text() == "What is ${{ item }}?\nBe short.\n"


@pytest.mark.parametrize(
    ("name", "old", "new"), [("rows.py", "file.read()", "file.read() + ''"), ("helper.py", "split()", "split(None)")]
)
def test_a_changed_module_beside_the_workflow_is_noticed(study: Study, name: str, old: str, new: str) -> None:
    study.edit(name, old, new)
    error = study.refused()
    assert error.summary == f"the workflow has changed since this run was started: {name}"
    assert error.detail == "load: 1 of 1 run again (task source): load"
    assert study.run.resume(accept=True).status == "done"
    assert study.made() == {"load": [None], "report": [None]}
    assert study.asked == []  # it gave the same rows
    assert (
        read_lock(study.run.folder).sources[name]
        == hashlib.sha256((study.bench.folder / name).read_bytes()).hexdigest()
    )


def test_a_change_that_affects_nothing_is_said_and_runs_nothing_again(study: Study) -> None:
    study.edit("trial.yaml", "steps:\n", "steps:  # of the study\n")
    assert study.refused().detail == "no instance that has run depends on the change"
    study.run.resume(accept=True)
    assert study.made() == {"report": [None]}
    assert study.asked == []


def test_a_second_change_keeps_both_of_the_workflows_before(study: Study) -> None:
    first = study.workflow.read_bytes()
    study.edit("final.py", "sorted(answers)", "1 / 0")
    study.edit("trial.yaml", "Is it right", "Is it true")
    assert study.run.resume(accept=True).status == "failed"
    second = study.workflow.read_bytes()
    study.edit("final.py", "1 / 0", "sorted(answers)")
    study.edit("trial.yaml", "Is it true", "Is it so")
    study.asked.clear()
    error = study.refused(failed=True)
    assert error.summary == "the workflow has changed since this run was started: trial.yaml, final.py"
    assert error.detail == "judge: 3 of 3 run again (prompt, line 14): judge@iron, judge@zinc, judge@gold"
    assert study.run.resume(failed=True, accept=True).status == "done"
    assert len(study.asked) == 3
    kept = [study.run.folder.path / f"workflow-before-{number}.yaml" for number in (1, 2)]
    assert [path.read_bytes() for path in kept] == [first, second]
    assert study.run.folder.workflow_file.read_bytes() == study.workflow.read_bytes()


def test_a_run_that_has_ended_is_printed_whatever_has_changed(study: Study) -> None:
    study.run.resume()
    study.edit("trial.yaml", "Is it right", "Is it true")
    before = study.files()
    assert study.run.resume().outputs == {"report": JUDGED}
    assert study.files() == before


def test_a_workflow_that_is_gone_is_named(study: Study) -> None:
    study.workflow.unlink()
    error = study.refused()
    assert (error.summary, error.where) == ("the workflow file of this run is gone", str(study.workflow))
    assert error.hint == "put it back; the record holds a copy, workflow.yaml, and its modules under sources/"


def test_a_wish_for_an_earlier_part_of_a_run_does_not_stop_the_next(study: Study) -> None:
    for target in (None, "report"):
        request(study.run.folder, CANCEL, target)
    assert study.run.resume().status == "done"
    assert study.made() == {"report": [None]}
    assert list(pending_requests(study.run.folder)) == []


def test_the_line_of_a_change_is_that_of_the_file(study: Study) -> None:
    """Lines count from the top of the file, not of the step."""
    study.edit("trial.yaml", HEADER, HEADER + "# one more\n")
    study.edit("trial.yaml", "Is it right", "Is it true")
    assert "(prompt, line 15)" in (study.refused().detail or "")
