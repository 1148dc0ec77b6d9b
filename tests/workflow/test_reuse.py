"""Steps from other files, and workflows that steps call: what they become, and mistakes in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import ExpressionFailed, ParameterError, WorkflowInvalid
from metis_flow.plan.plan import load_plan
from metis_flow.workflow.definition import ShellDef, WorkflowCallDef, WorkflowDef
from metis_flow.workflow.load import load_workflow
from metis_flow.workflow.values import FileRef, PathParam

Load = Callable[..., WorkflowDef]
Mistakes = Callable[..., list[str]]

HEAD = "version: 1\nname: w\n"
MAIN = HEAD + "params: {n: {type: integer, default: 1}}\ninclude: [parts/load.yaml, more.yaml]\n"
OWN = "steps:\n  last: {run: echo, needs: [load, more]}\noutputs: {x: '${{ steps.load.output }}'}\n"
PARTS = {
    "parts/load.yaml": "# reads\nsteps:\n  load:\n    args: ['${{ params.n }}']\n    run: cat\n",
    "more.yaml": "steps: {more: {chat: {user: {from: prompts/p.md}}, needs: load}}\n",
    "prompts/p.md": "It is ${{ steps.load.output }}",
}


def test_included_steps_stand_before_the_own_ones(load: Load) -> None:
    workflow = load(MAIN + OWN, PARTS)
    assert list(workflow.steps) == ["load", "more", "last"]
    assert workflow.included == PARTS
    body = workflow.steps["load"].body
    assert isinstance(body, ShellDef)
    assert body.args[0].evaluate({"params": {"n": 7}}) == 7
    assert {name: Path(document.path).name for name, document in workflow.parts.items()} == {
        "load": "load.yaml",
        "more": "more.yaml",
    }


def test_a_workflow_may_have_no_steps_of_its_own(load: Load) -> None:
    assert list(load(HEAD + "include: more.yaml\n", {"more.yaml": "steps: {a: {run: echo}}"}).steps) == ["a"]


INCLUDES: dict[str, tuple[str, dict[str, str], list[str]]] = {
    "a mistake in an expression": (
        "include: [p.yaml]\nsteps: {a: {run: x}}\n",
        {"p.yaml": "steps:\n  b:\n    args: ['${{ steps.aa.output }}']\n    run: x\n"},
        ["p.yaml:3:23 there is no step 'aa' [did you mean 'a'?]"],
    ),
    "a mistake in a key, and one in the own file": (
        "include: [p.yaml]\nsteps: {a: {rum: x}}\n",
        {"p.yaml": "steps:\n  b:\n    run: x\n    timout: 5m\n"},
        [
            "4:9 the step 'a' has no verb [one of: chat, run, python, uses, workflow]",
            "4:13 unknown key 'rum' in 'a' [did you mean 'run'?]",
            "p.yaml:4:5 unknown key 'timout' in 'b' [did you mean 'timeout'?]",
        ],
    ),
    "a step by a name that is taken": (
        "include: [p.yaml]\nsteps:\n  a: {run: x}\n",
        {"p.yaml": "steps: {a: {run: y}}"},
        ["5:3 there is a step 'a' already [the first is at {tmp}/p.yaml:1:9]"],
    ),
    "no such file": (
        "include: [none.yaml]\n",
        {},
        ["3:11 the file 'none.yaml' cannot be read: No such file or directory [paths are relative to the workflow]"],
    ),
    "no YAML": (
        "include: p.yaml\n",
        {"p.yaml": "steps: [a\n"},
        ["p.yaml:2:1 this is not YAML: did not find expected ',' or ']' [what begins on line 1 is not closed]"],
    ),
    "a list": (
        "include: p.yaml\n",
        {"p.yaml": "- run: x\n"},
        ["p.yaml:1:1 a file of steps holds 'steps:' and steps under it"],
    ),
    "a whole workflow": (
        "include: p.yaml\n",
        {"p.yaml": "version: 1\nsteps: {a: {run: x}}\n"},
        [
            "p.yaml:1:1 a file of steps holds nothing but 'steps', and this has 'version' "
            "[parameters, outputs and the like belong to the workflow itself]"
        ],
    ),
    "no steps in it": ("include: p.yaml\n", {"p.yaml": "{}\n"}, ["p.yaml:1:1 'steps' is missing [add 'steps: …']"]),
    "twice": (
        "include: [p.yaml, ./p.yaml]\n",
        {"p.yaml": "steps: {a: {run: x}}\n"},
        ["3:19 './p.yaml' is included twice"],
    ),
    "an expression for a name": (
        "include: ['${{ params.x }}.yaml']\n",
        {},
        ["3:11 'from' takes the name of a file, without expressions"],
    ),
    "a number": (
        "include: 5\nsteps: {a: {run: x}}\n",
        {},
        ["3:10 'include' should be a text or a list, not 5 [quote it]"],
    ),
    "steps that wait for each other": (
        "include: p.yaml\nsteps: {a: {run: x, needs: b}}\n",
        {"p.yaml": "steps:\n  b: {run: x, needs: a}\n"},
        ["p.yaml:2:3 the steps wait for each other: b → a → b [remove one of the references]"],
    ),
}


@pytest.mark.parametrize(("text", "files", "expected"), INCLUDES.values(), ids=INCLUDES)
def test_mistakes_in_what_is_included(
    planned: Mistakes, tmp_path: Path, text: str, files: dict[str, str], expected: list[str]
) -> None:
    assert planned(HEAD + text, files) == [line.replace("{tmp}", str(tmp_path)) for line in expected]


# -- workflows that steps call

CHILD = (
    "version: 1\nname: child\nparams:\n  n: {type: integer, maximum: 9}\n  p: {type: path, default: in.txt}\n"
    "  note: {type: string, default: null}\n"
    "steps: {ask: {chat: {user: {from: ask.md}}}}\noutputs: {y: '${{ steps.ask.output }}'}\n"
)
FILES = {"sub/child.yaml": CHILD, "sub/ask.md": "${{ params.n }}"}


def call(load: Load, text: str, files: dict[str, str] | None = None) -> WorkflowCallDef:
    body = load(text, files or FILES, step=True).steps["s"].body
    assert isinstance(body, WorkflowCallDef)
    return body


def test_a_step_that_calls_a_workflow(load: Load) -> None:
    workflow = load("workflow: sub/child.yaml\nwith: {n: '${{ steps.a.output }}'}", FILES, step=True)
    body = workflow.steps["s"].body
    assert isinstance(body, WorkflowCallDef)
    assert (body.target, body.child.name, list(body.child.steps)) == ("sub/child.yaml", "child", ["ask"])
    assert workflow.included == FILES
    assert [ref.step for ref in workflow.steps["s"].refs] == ["a"]


def test_the_parameters_of_the_child(load: Load, tmp_path: Path) -> None:
    body = call(load, "workflow: sub/child.yaml\nwith: {n: '${{ steps.a.output }}', note: '${{ steps.a.error }}'}")
    values = body.bind({"steps": {"a": {"output": 3, "error": None}}})
    assert values == {"n": 3, "p": str(tmp_path / "sub/in.txt"), "note": None}
    assert isinstance(values["p"], PathParam)
    with pytest.raises(ParameterError, match="'n' is 10, and should be at most 9"):
        body.bind({"steps": {"a": {"output": 10, "error": None}}})


def test_a_path_of_the_caller_is_relative_to_the_caller(load: Load, tmp_path: Path) -> None:
    assert call(load, "workflow: sub/child.yaml\nwith: {n: 1, p: x.txt}").bind({})["p"] == str(tmp_path / "x.txt")


def test_what_was_said_becomes_no_path(load: Load) -> None:
    body = call(load, "workflow: sub/child.yaml\nwith: {n: 1, p: '${{ steps.a.output }}'}")
    with pytest.raises(ExpressionFailed) as caught:
        body.bind({"steps": {"a": {"output": "/etc/passwd"}}})
    assert caught.value.summary == "'p' is a path, and what a model or a data file said never becomes one"
    assert caught.value.hint == "hand on a file (a step with 'output: {path: FILE}'), or a parameter"
    assert body.bind({"steps": {"a": {"output": FileRef("/x/y", "0", 1)}}})["p"] == "/x/y"
    assert body.bind({"steps": {"a": {"output": PathParam("/x/z")}}})["p"] == "/x/z"


CALLS: dict[str, tuple[str, dict[str, str], list[str]]] = {
    "unknown parameter": (
        "workflow: sub/child.yaml\nwith: {n: 1, nn: 2}",
        FILES,
        ["11:18 the workflow 'sub/child.yaml' has no parameter 'nn' [did you mean 'n'?]"],
    ),
    "missing parameter": (
        "workflow: sub/child.yaml",
        FILES,
        ["10:15 the workflow 'sub/child.yaml' needs the parameter 'n' [add 'with: {n: …}']"],
    ),
    "values that do not fit": (
        "workflow: sub/child.yaml\nwith: {n: 99, note: 5}",
        FILES,
        ["11:15 'n' is 99, and should be at most 9", "11:25 'note' should be a text, not 5"],
    ),
    "null for what has no default": (
        "workflow: sub/child.yaml\nwith: {n: null, note: null}",
        FILES,
        ["11:15 'n' should be a whole number, not nothing"],
    ),
    "a reference to nothing": (
        "workflow: sub/child.yaml\nwith: {n: '${{ steps.b.output }}'}",
        FILES,
        ["11:26 there is no step 'b' [known: a, f, s]"],
    ),
    "no such file": (
        "workflow: none.yaml",
        {},
        ["10:15 the file 'none.yaml' cannot be read: No such file or directory [paths are relative to the workflow]"],
    ),
    "a name from a model": (
        "workflow: ${{ steps.a.output }}",
        {},
        [
            "10:15 'workflow' takes the name of a file: what a model said never becomes the name of code "
            "[choose the step with 'if']"
        ],
    ),
    "mistakes in the child, once": (
        "workflow: c.yaml\nwith: {x: 1}",
        {"c.yaml": "version: 1\nname: c\nsteps:\n  a: {rum: x}\n"},
        [
            "c.yaml:4:3 the step 'a' has no verb [one of: chat, run, python, uses, workflow]",
            "c.yaml:4:7 unknown key 'rum' in 'a' [did you mean 'run'?]",
        ],
    ),
    "itself": (
        "workflow: w.yaml",
        {},
        ["10:15 the workflow calls itself [to go round again, write 'until' and 'max_rounds' on the step]"],
    ),
    "each other": (
        "workflow: c.yaml",
        {"c.yaml": "version: 1\nname: c\nsteps:\n  a: {workflow: w.yaml}\n"},
        [
            "c.yaml:4:17 the workflows call each other: w.yaml → c.yaml → w.yaml "
            "[to go round again, write 'until' and 'max_rounds' on the step]"
        ],
    ),
    "too deep": (
        "workflow: c1.yaml",
        {f"c{n}.yaml": f"version: 1\nname: c\nsteps:\n  a: {{workflow: c{n + 1}.yaml}}\n" for n in range(1, 12)},
        ["c7.yaml:4:17 more than 8 workflows call one another in a row [flatten them]"],
    ),
    "modifiers that belong to its steps": (
        "workflow: sub/child.yaml\nwith: {n: 1}\ntimeout: 5m\nresources: {cores: 1}",
        FILES,
        [
            "12:5 'timeout' is for chat, run, python and uses steps, and 's' is a workflow step "
            "[write it on the steps of that workflow]",
            "13:5 'resources' is for run, python and uses steps, and 's' is a workflow step "
            "[write it on the steps of that workflow]",
        ],
    ),
    "a cycle in the child": (
        "workflow: c.yaml",
        {"c.yaml": "version: 1\nname: c\nsteps:\n  a: {run: x, needs: a}\n"},
        ["c.yaml:4:3 the step 'a' waits for itself [remove one of the references]"],
    ),
    "an unknown task in the child": (
        "workflow: c.yaml",
        {"c.yaml": "version: 1\nname: c\nsteps:\n  a: {uses: no_such_task}\n"},
        ["c.yaml:4:13 there is no task 'no_such_task'"],
    ),
}


@pytest.fixture
def planned(mistakes: Mistakes, tmp_path: Path) -> Mistakes:
    """The mistakes that loading finds, and where there are none those that planning finds."""

    def planned(text: str, files: dict[str, str], **options: Any) -> list[str]:
        found = mistakes(text, files, **options)
        if found:
            return found
        try:
            load_plan(tmp_path / "w.yaml")
        except WorkflowInvalid as error:
            return [
                f"{str(problem.where).removeprefix(f'{tmp_path}/')} {problem.summary}"
                + (f" [{problem.hint}]" if problem.hint else "")
                for problem in error.problems
            ]
        return []

    return planned


@pytest.mark.parametrize(("text", "files", "expected"), CALLS.values(), ids=CALLS)
def test_mistakes_in_calls(planned: Mistakes, text: str, files: dict[str, str], expected: list[str]) -> None:
    assert planned(text, files, step=True) == expected


def test_a_workflow_that_many_call_is_loaded_once(tmp_path: Path) -> None:
    for level in range(7):
        steps = "".join(f"  s{n}: {{workflow: w{level + 1}.yaml}}\n" for n in range(30))
        (tmp_path / f"w{level}.yaml").write_text(f"version: 1\nname: w\nsteps:\n{steps}")
    (tmp_path / "w7.yaml").write_text("version: 1\nname: w\nsteps: {a: {chat: hi}}\n")
    plan = load_plan(tmp_path / "w0.yaml")  # 30 ** 7 of them, if each call were followed
    assert plan.has_chat
    children = list(plan.workflow.children)
    assert len(children) == 30
    assert all(child is children[0] for child in children)


def test_the_path_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "w.yaml").write_text(HEAD + "steps: {s: {workflow: sub/child.yaml, with: {n: 1}}}\n")
    monkeypatch.chdir(tmp_path)
    body = load_workflow("w.yaml").steps["s"].body
    assert isinstance(body, WorkflowCallDef)
    assert body.child.folder == tmp_path / "sub"
