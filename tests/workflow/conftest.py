"""What the tests of the language share: a file from a text, and its mistakes as lines of text."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from metis_flow.errors import WorkflowInvalid
from metis_flow.workflow.definition import WorkflowDef
from metis_flow.workflow.load import load_workflow

Load = Callable[..., WorkflowDef]
Mistakes = Callable[..., list[str]]

# Eight lines: a step with one output, and a fan-out. The step under test begins on line 9, what is in it on line 10.
BASE = """\
version: 1
name: w
steps:
  a:
    run: echo
  f:
    foreach: [1, 2]
    run: echo
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a text as a workflow file; ``step=True`` makes it the step ``s`` of a file with steps ``a`` and ``f``."""

    def load(text: str, files: Mapping[str, str] | None = None, *, step: bool = False) -> WorkflowDef:
        for name, content in (files or {}).items():
            (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / name).write_text(content, encoding="utf-8")
        whole = f"{BASE}  s:\n{textwrap.indent(text, '    ')}\n" if step else text
        path = tmp_path / "w.yaml"
        path.write_bytes(whole.encode())
        return load_workflow(path)

    return load


@pytest.fixture
def mistakes(load: Load, tmp_path: Path) -> Mistakes:
    """The mistakes of a text as ``line:column summary [hint]``; those of other files begin with the file's name."""

    def mistakes(text: str, files: Mapping[str, str] | None = None, *, step: bool = False) -> list[str]:
        try:
            load(text, files, step=step)
        except WorkflowInvalid as error:
            found = []
            for problem in error.problems:
                where = str(problem.where).removeprefix(f"{tmp_path}/").removeprefix("w.yaml:")
                found.append(f"{where} {problem.summary}" + (f" [{problem.hint}]" if problem.hint else ""))
            return found
        return []

    return mistakes
