"""The example of each task of the library: it is a step, it gives what it says, and the source alone is enough."""

from __future__ import annotations
import __future__

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from metis_flow.tasks import drive, find_task, to_json
from metis_flow.tasks.check import task_source
from metis_flow.tasks.library import HOMES

FILES = {"papers.csv": "doi,year\n10.1/a,2020\n", "notes.html": "<p>One</p><p>Two</p>"}
GIVEN = {"read_rows": [{"doi": "10.1/a", "year": 2020}], "read_text": "One\n\nTwo\n"}
ANSWERS: dict[str, Any] = {
    "classify": {"label": "battery"},
    "extract": {"found": [{"material": "GaN", "gap_ev": 3.4}, {"material": "silicon", "gap_ev": 1.1}]},
    "judge": {"reason": "The value and the unit are right.", "score": 3},
    "summarise": " What the report says, in 80 words.\n",
}


def from_its_source_alone(func: Callable[..., Any]) -> Callable[..., Any]:
    """The function as another machine makes it from its text: with nothing of its module."""
    tree = ast.parse(task_source(func))
    made = tree.body[0]
    assert isinstance(made, ast.FunctionDef)
    made.decorator_list = []
    space: dict[str, Any] = {}
    exec(compile(tree, "elsewhere", "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True), space)
    found: Callable[..., Any] = space[func.__name__]
    return found


@pytest.mark.parametrize("name", sorted(HOMES))
def test_the_example(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file, text in FILES.items():
        Path(file).write_text(text)
    found = find_task(name)
    example = yaml.safe_load(found.docstring.example)
    assert list(example) in (["uses", "with", "gives"], ["uses", "with"])
    assert example["uses"] == name
    jsonschema.validate(example["with"], found.parameters)
    expected = example.get("gives", GIVEN.get(name))
    jsonschema.validate(expected, found.returns)
    for function in (found.func, from_its_source_alone(found.func)):
        result = function(**example["with"])
        if found.asks:
            result = drive(result, lambda ask: ANSWERS[name])
        assert to_json(list(result) if found.gives_rows else result) == expected


@pytest.mark.parametrize("name", sorted(HOMES))
def test_every_argument_is_described(name: str) -> None:
    found = find_task(name)
    assert set(found.parameters["properties"]) == set(found.docstring.arguments)
    assert found.docstring.text
    assert found.returns != {} or name == "extract"
