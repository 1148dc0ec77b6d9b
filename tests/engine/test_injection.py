"""What a model, a row or a key says is data: it is never executed, rendered or used as a path."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from engine_kit import Bench, entries

from metis_flow.errors import WorkflowInvalid

SAYINGS = {
    "command": '"; touch PWNED; "',
    "quoted command": "'; touch PWNED; '",
    "substitution": "$(touch PWNED)",
    "backticks": "`touch PWNED`",
    "expression": "${{ params }}",
    "jinja": "{{ 7*7 }}",
    "block": "${% for x in [1] %}x${% endfor %}",
    "path": "../../x",
    "absolute path": "/tmp/metis-flow-x",
    "newline": "a\ntouch PWNED\nb",
    "option": "-rf",
    "long option": "--version",
    "wildcard": "*",
    "variable": "$HOME",
}


@pytest.fixture(params=list(SAYINGS.values()), ids=list(SAYINGS))
def saying(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What is said, with the file that an executed command would make in it."""
    text: str = request.param
    return text.replace("PWNED", str(tmp_path / "pwned"))


WORKFLOW = """
    params: {rows: {type: path, default: rows.json}, private: {type: string, default: not to be seen}}
    steps:
      load: {uses: read_rows, with: {path: "${{ params.rows }}"}}
      say: {chat: Say something., output: {text: string}}
      each:
        foreach: ${{ steps.load.output }}
        key: ${{ item.text }}
        env: {SAID: "${{ steps.say.output.text }}", ROW: "${{ item.text }}"}
        args: ["${{ steps.say.output.text }}", "${{ item.text }}", "${{ key }}"]
        stdin: ${{ steps.say.output.text }}
        files: {said: "${{ steps.say.output.text }}", row.json: "${{ item }}", both: "<${{ item.text }}>"}
        run: |
          cat > from_stdin
          printf '%s\\0' "$SAID" "$ROW" "$1" "$2" "$3" "$(cat said; echo .)" "$(cat from_stdin; echo .)"
        output: {text: stdout}
      again: {foreach: "${{ steps.each.results }}", chat: "Repeat: ${{ item.output }} ${{ key }}"}
      call:
        python: work:same
        with: {said: "${{ steps.say.output }}", rows: "${{ steps.load.output }}", again: "${{ steps.again.outputs }}"}
    outputs:
      said: ${{ steps.say.output.text }}
      each: ${{ steps.each.outputs[0] }}
      call: ${{ steps.call.output }}
"""


def test_what_is_said_is_neither_executed_nor_rendered_nor_a_path(chat_bench: Bench, saying: str) -> None:
    chat_bench.write("work.py", "def same(said, rows, again):\n    return [said, rows, again]\n")
    (chat_bench.folder / "rows.json").write_text(json.dumps([{"text": saying}]))
    chat_bench.answers.rule = lambda body, n: {"text": saying} if "response_format" in body else saying
    before = everything(chat_bench.folder)
    run = chat_bench.run(WORKFLOW)
    assert run.status == "done"
    # nothing rendered: it arrives everywhere as it was said
    assert run.outputs["said"] == saying
    assert run.outputs["each"].split("\0") == [saying] * 5 + [saying + "."] * 2 + [""]
    assert run.outputs["call"] == [{"text": saying}, [{"text": saying}], [saying]]
    again = entries(run, "done", "again")[0]
    assert again["call"]["messages"][-1]["content"] == f"Repeat: {run.outputs['each']} {saying}"
    assert "not to be seen" not in json.dumps(run.outputs)
    # nothing executed, nothing written outside of the run's folder
    assert everything(chat_bench.folder) - before == {"runs", "trial.yaml"}
    assert not os.path.exists("/tmp/metis-flow-x")
    assert not (chat_bench.folder.parent / "x").exists()
    # nothing of the step outside of the step's folder
    (folder,) = (run.folder.steps / "each").iterdir()
    assert folder.name == entries(run, "done", "each")[0]["address"].removeprefix("each@")
    names = {"script.sh", "stdin", "stdout", "from_stdin", "said", "row.json", "both"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "script.sh").read_text().startswith("cat > from_stdin\nprintf")
    assert (folder / "both").read_text() == f"<{saying}>"
    assert json.loads((folder / "row.json").read_text()) == {"text": saying}
    assert {path.name for path in run.folder.steps.iterdir()} == {"each"}


def everything(folder: Path) -> set[str]:
    """The names in a folder, those of runs left out."""
    return {path.name for path in folder.iterdir()}


def test_what_is_said_cannot_name_the_file_to_link(chat_bench: Bench) -> None:
    for field in ("files: {x: {from: '${{ steps.say.output }}'}}", "files: {'${{ steps.say.output }}': x}"):
        with pytest.raises(WorkflowInvalid):
            chat_bench.run(f"steps: {{say: {{chat: hi}}, a: {{{field}, run: cat x}}}}")


@pytest.mark.parametrize(
    "step",
    [
        "{run: 'echo ${{ steps.say.output }}'}",
        "{python: '${{ steps.say.output }}:f'}",
        "{uses: '${{ steps.say.output }}'}",
        "{run: 'true', output: {path: '${{ steps.say.output }}'}}",
        "{run: 'true', env: {'${{ steps.say.output }}': x}}",
        "{run: 'true', secrets: ['${{ steps.say.output }}']}",
    ],
)
def test_what_is_said_cannot_become_code_a_path_or_a_variables_name(chat_bench: Bench, step: str) -> None:
    with pytest.raises(WorkflowInvalid):
        chat_bench.run(f"steps:\n  say: {{chat: hi}}\n  a: {step}\n")


def test_a_file_named_by_a_step_does_not_lead_out_of_its_folder(bench: Bench) -> None:
    """A script that made a link to a file elsewhere cannot have it handed on."""
    (bench.folder / "private").write_text("private")
    run = bench.run(f"""
        steps:
          a: {{run: "ln -s {bench.folder}/private out", output: {{path: out}}}}
          b: {{files: {{f: "${{{{ steps.a.output }}}}"}}, run: cat f}}
        """)
    assert run.status == "failed"
    assert entries(run, "done") == []
