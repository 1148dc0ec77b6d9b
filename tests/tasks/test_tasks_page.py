"""The page about tasks: its code does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from metis_flow.tasks import drive, find_task
from metis_flow.tasks.library import HOMES

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with each block of Python of the page as a module."""
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)):
        (tmp_path / f"page_{number}.py").write_text(block)
    return tmp_path


def test_the_page_lists_the_library() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)) == sorted(HOMES)


def test_the_task_of_the_page(folder: Path) -> None:
    made = find_task("in_kelvin", folder)
    example = yaml.safe_load(made.docstring.example)
    assert made.func(**example["with"]) == example["gives"]


def test_the_task_of_the_page_that_asks(folder: Path) -> None:
    made = find_task("best_title", folder)
    assert made.asks
    given = iter(["A", "B", {"title": "B"}])
    assert drive(made.func(abstract="…", drafts=2), lambda ask: next(given)) == "B"
