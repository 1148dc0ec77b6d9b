"""A workflow under test, with answers by a rule."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metis_flow import Workflow
from metis_flow.testing import Asked, NoAnswer, Reply, answers

TEXT = """\
version: 1
name: kinds
model: {name: some-model-of-ours, temperature: 0.5, seed: 3}
params: {materials: {type: array, default: [silicon, copper]}}
steps:
  ask:
    foreach: ${{ params.materials }}
    key: ${{ item }}
    chat: {system: Be brief., user: "What is ${{ item }}?"}
    output: {kind: {enum: [metal, semiconductor]}}
  note: {chat: "Sum up: ${{ json(steps.ask.outputs) }}"}
outputs: {kinds: "${{ steps.ask.outputs }}", note: "${{ steps.note.output }}"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kinds.yaml"
    path.write_text(TEXT)
    return path


def test_answers_by_parts_of_prompts(file: Path) -> None:
    with answers({"silicon?": {"kind": "semiconductor"}, "copper?": {"kind": "metal"}, "Sum up": "Both."}) as model:
        run = model.run(file)
        assert run.outputs == {"kinds": [{"kind": "semiconductor"}, {"kind": "metal"}], "note": "Both."}
        first = min(model.calls, key=lambda call: call.user != "What is silicon?")
        assert sorted(call.user for call in model.calls[:2]) == ["What is copper?", "What is silicon?"]
        assert model.calls[2].user == 'Sum up: [{"kind": "semiconductor"}, {"kind": "metal"}]'
        assert (first.model, first.system, first.answer) == (
            "some-model-of-ours",
            "Be brief.",
            {"kind": "semiconductor"},
        )
        assert (first.model, first.system) == ("some-model-of-ours", "Be brief.")
        assert first.answer == {"kind": "semiconductor"}
        assert first.settings == {"temperature": 0.5, "seed": 3}
        assert (first.schema or {})["required"] == ["kind"]
        assert (model.calls[2].system, model.calls[2].schema, model.calls[2].n) == (None, None, 2)
        assert model.run(Workflow.load(file), {"materials": ["copper"]}).outputs["kinds"] == [{"kind": "metal"}]
        assert len(model.calls) == 5  # nothing was taken from the run before


def test_a_rule_sees_the_request(file: Path) -> None:
    def rule(asked: Asked) -> Any:
        if asked.schema is None:
            return Reply(content="hm", reasoning="thinking")
        return {"kind": "metal"} if "copper" in asked.user else {"kind": "plastic"}

    with answers(rule) as model:
        run = model.run(file)
        assert run.status == "failed"
        rows = {row["key"]: row for row in run.rows("ask")}
        assert rows["copper"]["output"] == {"kind": "metal"}
        assert "'plastic' is not one of ['metal', 'semiconductor']" in rows["silicon"]["error"]


def test_a_prompt_without_an_answer(file: Path) -> None:
    with pytest.raises(NoAnswer) as caught, answers({"silicon": {"kind": "semiconductor"}}) as model:
        model.run(file, {"materials": ["copper"]})
    assert str(caught.value) == "nothing answers request 0:\n  system: Be brief.\n  user: What is copper?"


def test_what_a_rule_raises_reaches_the_test(file: Path) -> None:
    def rule(asked: Asked) -> Any:
        assert asked.settings["temperature"] == 0, "we want no chance here"
        return "x"

    with pytest.raises(AssertionError, match="we want no chance here"), answers(rule) as model:
        model.run(file)
    with pytest.raises(TypeError, match="a rule returns a str, dict, list or Reply, not int"):
        run_past_the_helper(file, lambda asked: 3)


def run_past_the_helper(file: Path, rule: Any, error: Exception | None = None) -> None:
    """Run it as one's own code would, without `Answers.run`."""
    with answers(rule) as model:
        run = Workflow.load(file).run(endpoint=model.endpoint, runs_dir=file.parent / "runs")
        assert run.status == "failed"
        assert next(run.rows("ask"))["status"] == "failed"
        if error is not None:
            raise error


def test_a_problem_is_raised_at_the_end_of_the_block(file: Path) -> None:
    with pytest.raises(NoAnswer, match="nothing answers request"):
        run_past_the_helper(file, {})
    with pytest.raises(ZeroDivisionError):  # the test's own error comes first
        run_past_the_helper(file, {}, ZeroDivisionError())


def test_the_command_line_is_answered_too(file: Path) -> None:
    with answers(lambda asked: "fine" if asked.schema is None else {"kind": "metal"}) as model:
        command = [sys.executable, "-m", "metis_flow.cli", "run", str(file), "--endpoint", model.endpoint]
        done = subprocess.run([*command, "--runs-dir", str(file.parent / "runs")], capture_output=True, text=True)
        assert (done.returncode, len(model.calls)) == (0, 3), done.stderr


def test_nothing_is_left_behind(file: Path) -> None:
    with answers({}) as model:
        folder = Path(model.endpoint).parent
        assert folder.is_dir()
    assert not folder.exists()


def test_the_code_of_the_page(file: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    file.write_text(TEXT.replace("  note: {chat:", "  note: {if: 'false', chat:"))
    page = (repository / "docs" / "testing-workflows.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    space: dict[str, Any] = {}
    exec(code, space)
    space["test_copper_is_a_metal"]()
