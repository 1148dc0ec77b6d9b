"""What a step becomes: its references, its messages and files, and the forms that its modifiers may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metis_flow.workflow.definition import CallDef, ChatDef, ShellDef, WorkflowDef
from metis_flow.workflow.expressions import StepRef
from metis_flow.workflow.outputs import OutputSpec

Load = Callable[..., WorkflowDef]
Mistakes = Callable[..., list[str]]

PLACES = {
    "chat": "chat: ${{ steps.a.output }}",
    "system": "chat: {system: '${{ steps.a.output }}', user: x}",
    "message": "chat: {messages: [{role: user, content: '${{ steps.a.output }}'}]}",
    "message from a file": "chat: {messages: [{role: user, content: {from: p.md}}]}",
    "user from a file": "chat: {user: {from: p.md}}",
    "setting": "chat: {user: x, temperature: '${{ steps.a.output }}'}",
    "setting of a model": "chat: {user: x, model: {seed: '${{ steps.a.output }}'}}",
    "extra setting": "chat: {user: x, extra: {a: [{b: '${{ steps.a.output }}'}]}}",
    "model": "chat: {user: x, model: '${{ steps.a.output }}'}",
    "model's name": "chat: {user: x, model: {name: '${{ steps.a.output }}'}}",
    "foreach": "foreach: ${{ steps.a.output }}\nrun: x",
    "foreach over a list": "foreach: [1, '${{ steps.a.output }}']\nrun: x",
    "key": "foreach: [1]\nkey: ${{ item ~ steps.a.output }}\nrun: x",
    "if": "if: steps.a.output\nrun: x",
    "check": "check: output == steps.a.output\nrun: x",
    "env": "env: {A: '${{ steps.a.output }}'}\nrun: x",
    "args": "args: [x, '${{ steps.a.output }}']\nrun: x",
    "stdin": "stdin: {a: '${{ steps.a.output }}'}\nrun: x",
    "files": "files: {a.json: ['${{ steps.a.output }}']}\nrun: x",
    "with, python": "python: m:f\nwith: {a: {b: '${{ steps.a.output }}'}}",
    "with, uses": "uses: count\nwith: {values: '${{ steps.a.output }}'}",
}


@pytest.mark.parametrize("text", PLACES.values(), ids=PLACES)
def test_references_from_every_place(load: Load, mistakes: Mistakes, text: str) -> None:
    files = {"p.md": "${{ steps.a.output }}"}
    step = load(text, files, step=True).steps["s"]
    assert step.refs == {StepRef("a", "output")}
    assert step.instance_refs == (set() if "foreach: ${{" in text or "foreach: [1, '" in text else step.refs)
    # and each of them is checked
    wrong = mistakes(text.replace("steps.a", "steps.b"), {"p.md": "${{ steps.b.output }}"}, step=True)
    assert [problem.split(" ", 1)[1] for problem in wrong] == ["there is no step 'b' [known: a, f, s]"]


def test_needs_and_outputs_refer_too(load: Load) -> None:
    assert load("run: x\nneeds: a", step=True).steps["s"].needs == ("a",)
    assert load("run: x\nneeds: [a, f]", step=True).steps["s"].needs == ("a", "f")
    text = "version: 1\nname: w\nsteps: {a: {run: x}}\noutputs: {n: 1, x: {y: '${{ steps.a.output }}'}}"
    outputs = load(text).outputs
    assert outputs["n"].evaluate({}) == 1
    assert outputs["x"].evaluate({"steps": {"a": {"output": [2]}}}) == {"y": [2]}


def chat(load: Load, text: str, files: dict[str, str] | None = None) -> ChatDef:
    body = load(text, files, step=True).steps["s"].body
    assert isinstance(body, ChatDef)
    return body


def messages(body: ChatDef) -> list[tuple[str, Any]]:
    return [(role, value.evaluate({})) for role, value in body.messages]


def test_forms_of_chat(load: Load) -> None:
    assert messages(chat(load, "chat: hello ${{ 1 }}")) == [("user", "hello 1")]
    assert messages(chat(load, "chat: |\n  hello\n")) == [("user", "hello\n")]
    assert messages(chat(load, "chat: {system: s, user: u}")) == [("system", "s"), ("user", "u")]
    text = """\
chat:
  user: last
  messages:
    - {role: user, content: {from: p/u.md}}
    - {role: assistant, content: A}
  system: {from: p/s.md}
"""
    workflow = load(text, {"p/u.md": "U ${% if true %}1${% endif %}\n", "p/s.md": "S\r\n"}, step=True)
    body = workflow.steps["s"].body
    assert isinstance(body, ChatDef)
    assert messages(body) == [("system", "S\n"), ("user", "U 1\n"), ("assistant", "A"), ("user", "last")]
    assert sorted(workflow.included) == ["p/s.md", "p/u.md"]


def test_settings_of_the_step_stand_over_those_of_the_workflow(load: Load) -> None:
    head = "version: 1\nname: w\nmodel: {name: m, temperature: 0.5, seed: 1, extra: {a: 1}}\nsteps:\n  s:\n    chat: "
    for text, model, settings in (
        ("x", "m", {"temperature": 0.5, "seed": 1, "extra": {"a": 1}}),
        ("{user: x, temperature: 0, stop: [a]}", "m", {"temperature": 0, "seed": 1, "extra": {"a": 1}, "stop": ["a"]}),
        ("{user: x, model: n}", "n", {"temperature": 0.5, "seed": 1, "extra": {"a": 1}}),
        (
            "{user: x, seed: 3, model: {name: o, seed: 2, top_p: 1}}",
            "o",
            {"temperature": 0.5, "seed": 3, "extra": {"a": 1}, "top_p": 1},
        ),
    ):
        body = load(head + text).steps["s"].body
        assert isinstance(body, ChatDef)
        assert body.model is not None
        assert body.model.evaluate({}) == model
        assert {name: value.evaluate({}) for name, value in body.settings.items()} == settings
    assert chat(load, "chat: x").model is None


def test_a_model_may_be_a_parameter(load: Load) -> None:
    text = "version: 1\nname: w\nparams: {m: {type: string}}\nmodel: ${{ params.m }}\nsteps: {s: {chat: x}}"
    workflow = load(text)
    body = workflow.steps["s"].body
    assert isinstance(body, ChatDef)
    assert body.model is not None
    assert body.model.evaluate({"params": {"m": "big"}}) == "big"


def test_a_script_is_taken_as_it_is_written(load: Load) -> None:
    script = 'echo "$A" ${A} $(date) {{ x }} {% y %} `ls` # ${#A}'
    text = f"run: |\n  {script}\n\n\nargs: [1, '${{{{ 1 }}}}', 'a ${{{{ 1 }}}}']\nstdin: |\n  ${{{{ 1 }}}}\n"
    body = load(text, step=True).steps["s"].body
    assert isinstance(body, ShellDef)
    assert body.script == f"{script}\n"
    assert [arg.evaluate({}) for arg in body.args] == [1, 1, "a 1"]
    assert body.stdin is not None
    assert body.stdin.evaluate({}) == "1\n"


def test_forms_of_files(load: Load) -> None:
    text = (
        "run: x\nfiles: {a.txt: 'x ${{ 1 }}', b/c.json: {k: ['${{ 2 }}']}, d: {from: in.csv}, "
        "e: {from: in.csv, more: 1}, f: null}"
    )
    body = load(text, {"in.csv": ""}, step=True).steps["s"].body
    assert isinstance(body, ShellDef)
    found = {
        file.name: part.evaluate({}) for file in body.files for part in (file.link, file.content) if part is not None
    }
    assert found == {
        "a.txt": "x 1",
        "b/c.json": {"k": [2]},
        "d": "in.csv",
        "e": {"from": "in.csv", "more": 1},
        "f": None,
    }
    assert [file.name for file in body.files if file.link] == ["d"]


def test_a_link_may_be_made_from_parameters(load: Load) -> None:
    text = (
        "version: 1\nname: w\nparams: {d: {type: path}}\nsteps: {s: {run: x, files: {a: {from: '${{ params.d }}/x'}}}}"
    )
    body = load(text).steps["s"].body
    assert isinstance(body, ShellDef)
    assert body.files[0].link is not None
    assert body.files[0].link.evaluate({"params": {"d": "/data"}}) == "/data/x"


def test_calls(load: Load) -> None:
    for text, target in (("python: a.b:f", "a.b:f"), ("uses: read_rows", "read_rows")):
        body = load(f"{text}\nwith: {{path: 'x', n: '${{{{ 1 }}}}'}}", step=True).steps["s"].body
        assert isinstance(body, CallDef)
        assert body.target == target
        assert body.arguments.evaluate({}) == {"path": "x", "n": 1}


@pytest.mark.parametrize(
    ("text", "continues", "min_success"),
    [
        ("", False, 0.0),
        ("on_error: fail", False, 0.0),
        ("on_error: continue", True, 0.0),
        ("on_error: {continue: true}", True, 0.0),
        ("on_error: {continue: true, min_success: 0.95}", True, 0.95),
        ("on_error: {continue: true, min_success: 1}", True, 1.0),
        ("on_error: {continue: false}", False, 0.0),
        ("on_error: {min_success: 0.5}", False, 0.5),
    ],
)
def test_forms_of_on_error(load: Load, text: str, continues: bool, min_success: float) -> None:
    step = load(f"run: x\n{text}", step=True).steps["s"]
    assert (step.continues, step.min_success) == (continues, min_success)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("20m", 1200),
        ("1h30m", 5400),
        ("1:00:00", 3600),
        ("'90'", 90),
        ("500ms", 0.5),
        ("2 d", 172800),
    ],
)
def test_forms_of_timeout(load: Load, text: str, seconds: float) -> None:
    assert load(f"run: x\ntimeout: {text}", step=True).steps["s"].timeout == seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", OutputSpec("stdout")),
        ("output: {json: out.json}", OutputSpec("json", "out.json")),
        ("output: {json: stdout}", OutputSpec("json", "stdout")),
        ("output: {text: a/b.txt}", OutputSpec("text", "a/b.txt")),
        ("output: {path: big.h5}", OutputSpec("path", "big.h5")),
        ("output: {files: 'frames/*.xyz'}", OutputSpec("files", "frames/*.xyz")),
        ("output: {json: o, schema: {type: object}}", OutputSpec("json", "o", {"type": "object"})),
        ("output: {json: o, schema: s.json}", OutputSpec("json", "o", {"type": "array"})),
    ],
)
def test_forms_of_a_scripts_output(load: Load, text: str, expected: OutputSpec) -> None:
    assert load(f"run: x\n{text}", {"s.json": '{"type": "array"}'}, step=True).steps["s"].output == expected


CONDITIONS = [
    # text, per item, minds failures
    ("if: params == 1", False, False),
    ("if: hit.output > 1", True, False),
    ("if: key == 'a'", True, False),
    ("if: always()", True, True),
    ("if: failure() and hit.x", True, True),
    ("if: success()", True, False),
    ("if: hit.status == 'done'", True, True),
    ("if: hit['status'] == 'done'", True, True),
    ("if: steps.a.status == 'done'", False, True),
    ("if: hit.output.status == 'ok'", True, False),  # a field of the output that is called so
    ("if: params.status == 1", False, False),
    ("", False, False),
]


@pytest.mark.parametrize(("text", "per_item", "minds"), CONDITIONS)
def test_conditions(load: Load, text: str, per_item: bool, minds: bool) -> None:
    whole = (
        "version: 1\nname: w\nparams: {status: {type: integer}}\nsteps:\n  a: {run: x}\n  f: {foreach: [1], run: x}\n"
        f"  s:\n    foreach: ${{{{ steps.f.results }}}}\n    as: hit\n    run: x\n    {text}\n"
    )
    step = load(whole).steps["s"]
    assert (step.condition_is_per_item, step.condition_minds_failures) == (per_item, minds)


def test_away_from_a_fan_out_failures_are_asked_about_once(load: Load) -> None:
    for text in ("if: failure()", "foreach: [1]\nif: failure()", "foreach: ${{ steps.f.results[:1] }}\nif: failure()"):
        step = load(f"run: x\nneeds: a\n{text}", step=True).steps["s"]
        assert not step.condition_is_per_item
        assert step.condition_minds_failures


def test_in_outputs_a_status_is_a_field_like_any_other(load: Load) -> None:
    step = load("foreach: ${{ steps.f.outputs }}\nif: item.status == 'x'\nrun: x", step=True).steps["s"]
    assert step.condition_is_per_item
    assert not step.condition_minds_failures


@pytest.mark.parametrize(
    ("foreach", "upstream"),
    [
        ("${{ steps.f.outputs }}", StepRef("f", "outputs")),
        ("${{ steps.f.results }}", StepRef("f", "results")),
        ("${{ steps.a.output }}", None),
        ("${{ steps.f.outputs[:2] }}", None),
        ("${{ steps.f.outputs|list }}", None),
        ("[1, 2]", None),
    ],
)
def test_what_a_fan_out_follows_item_by_item(load: Load, foreach: str, upstream: StepRef | None) -> None:
    assert load(f"foreach: {foreach}\nrun: x", step=True).steps["s"].upstream == upstream
