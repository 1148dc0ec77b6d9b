"""The JSON Schema for editors and the loader agree: on the examples, and on a folder of structurally bad files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from metis_flow.errors import WorkflowInvalid
from metis_flow.workflow import fields, models, step_models
from metis_flow.workflow.definition import WorkflowDef
from metis_flow.workflow.json_schema import workflow_schema
from metis_flow.workflow.load import load_workflow
from metis_flow.workflow.source import read_document

Load = Callable[..., WorkflowDef]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BAD = sorted((HERE / "bad").glob("*.yaml"))
GOOD = [*sorted((ROOT / "workflows").rglob("*.yaml")), *sorted((ROOT / "metis_flow" / "cli").rglob("*.yaml"))]
VALIDATOR = jsonschema.Draft202012Validator(workflow_schema())


def test_it_is_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(workflow_schema())


@pytest.mark.parametrize("path", BAD, ids=lambda path: str(path.stem))
def test_both_refuse_a_bad_file(path: Path) -> None:
    with pytest.raises(WorkflowInvalid) as caught:
        load_workflow(path)
    assert all(str(problem.where).startswith(f"{path}:") for problem in caught.value.problems)
    assert not VALIDATOR.is_valid(read_document(path).data)


def is_workflow(path: Path) -> bool:
    data = read_document(path).data
    return isinstance(data, dict) and "version" in data


@pytest.mark.parametrize("path", [path for path in GOOD if is_workflow(path)], ids=lambda path: str(path.stem))
def test_both_take_the_examples(path: Path) -> None:
    load_workflow(path)
    assert [error.message for error in VALIDATOR.iter_errors(read_document(path).data)] == []


EVERY_KEY = """\
version: 1
name: every-key
description: all of it
params: {n: {type: integer, default: 2, minimum: 0, maximum: 9, description: many}, p: {type: path, default: in}}
endpoint: embedded
model: {name: m, temperature: "${{ params.n }}", stop: [END], extra: {top_k: 3}}
limits: {calls: 10, tokens: 1_000, concurrency: 2}
notify: {run: echo, on: [done, failed, stopped, paused]}
include: parts.yaml
steps:
  ask:
    matrix: {model: [a, b], t: "${{ range(3) }}", include: [{model: a, note: x}], exclude: [{model: b}]}
    repeat: ${{ params.n }}
    key: ${{ matrix.model }}
    if: matrix.t != 1
    chat:
      system: {from: parts.yaml}
      messages: [{from: examples.jsonl}, {role: user, content: hi}, "${{ steps.part.messages }}"]
      user: go on
      model: {name: "${{ matrix.model }}", seed: 1}
    output: {answer: string}
    check: output.answer
    until: output.answer == previous.answer
    max_rounds: 3
    repair: 1
    on_error: {continue: true, min_success: 0.5}
    retry: {attempts: 2, wait: 0, on: [inference, timeout]}
    timeout: 1:00:00
    cache: false
    executor: workers
    max_parallel: 4
  work:
    foreach: {glob: "*.yaml"}
    as: file
    run: echo
    env: {A: 1}
    args: [1]
    stdin: {a: 1}
    files: {x: y}
    secrets: [KEY]
    needs: [ask]
    retry: 3
    resources: {nodes: 1, ranks_per_node: 2, cores: 1, gpus: 1, memory: 1 GB}
    output: {json: stdout}
  fit: {python: "m:f", with: {a: 1}, on_error: continue, needs: ask}
  rows: {uses: read_rows, with: {path: "${{ params.p }}"}, env: null}
  again: {workflow: child.yaml, with: {n: 1}, until: "true", max_rounds: 2}
outputs: {x: "${{ steps.ask.outputs }}"}
"""
FILES = {
    "parts.yaml": "steps: {part: {chat: hello}}\n",
    "examples.jsonl": '{"user": "a", "assistant": "b"}\n',
    "child.yaml": "version: 1\nname: c\nparams: {n: {type: integer}}\nsteps: {a: {run: echo}}\n",
}


def test_both_take_a_file_with_every_key(load: Load, tmp_path: Path) -> None:
    load(EVERY_KEY, FILES)
    data = read_document(tmp_path / "w.yaml").data
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []
    used = set(_keys(data))
    assert {name for model in MODELS for name in _names(model)} - used == {"enum", "top_p", "max_tokens", *PENALTIES}


MODELS = (
    models.WorkflowFile,
    models.Param,
    models.Limits,
    models.NotifySpec,
    step_models.Step,
    step_models.Chat,
    step_models.Message,
    step_models.Examples,
    step_models.Matrix,
    step_models.OnError,
    step_models.RetrySpec,
    step_models.ResourcesSpec,
    step_models.ModelSpec,
    fields.FromFile,
)
PENALTIES = ("presence_penalty", "frequency_penalty", "reasoning_effort")


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _keys(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        yield from data
    for part in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from _keys(part)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.__name__))
def test_every_key_has_a_description_and_an_example_that_fits(model: type[BaseModel]) -> None:
    assert model.__doc__
    for name, field in model.model_fields.items():
        assert field.description is not None, name
        assert field.description.endswith("."), name
        assert field.examples, name
        for example in field.examples:
            required = {
                (other.alias or key): (other.examples or [None])[0]
                for key, other in model.model_fields.items()
                if other.is_required()
            }
            model.model_validate({**required, (field.alias or name): example})
