"""The example workflows run as they are on the embedded model. What it says may be wrong; that it runs may not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from metis_flow import Workflow
from metis_flow.api import Run

pytest.importorskip("xllamacpp")


def run(repository: Path, tmp_path: Path, name: str, *, limit: int | None = None, **params: object) -> Run:
    """Run an example to its end."""
    workflow = Workflow.load(repository / "workflows" / f"{name}.yaml")
    return workflow.run(params, endpoint="embedded", runs_dir=tmp_path / "runs", limit=limit)


RUN_HERE = {"hello", "elements", "chain", "materials", "two_levels", "grid", "refine", "survey"}
ELSEWHERE = {"digest"}  # in test_digest.py


def test_every_example_has_a_test_and_a_line_in_the_list(repository: Path) -> None:
    names = {path.stem for path in (repository / "workflows").glob("*.yaml")}
    assert names == RUN_HERE | ELSEWHERE
    listed = re.findall(r"^\| \[(\w+)\.yaml\]\(\1\.yaml\) ", (repository / "workflows/README.md").read_text(), re.M)
    assert set(listed) == names


def test_hello(repository: Path, tmp_path: Path) -> None:
    made = run(repository, tmp_path, "hello", place="Chicago")
    assert made.status == "done"
    assert made.outputs["greeting"]
    assert made.outputs["shouted"] == made.outputs["greeting"].upper().removesuffix("\n")


def test_elements(repository: Path, tmp_path: Path) -> None:
    made = run(repository, tmp_path, "elements", how_many=3)
    assert made.status == "done"
    assert made.state.steps["ask"].items == 3
    assert 0 <= made.outputs["accuracy"] <= 1
    assert len(made.outputs["table"].splitlines()) >= 1
    assert made.outputs["summary"]
    assert made.state.calls >= 4


def test_materials(repository: Path, tmp_path: Path) -> None:
    made = run(repository, tmp_path, "materials")
    assert made.status == "done"
    assert sum(made.outputs["counts"].values()) == 3
    assert made.outputs["note"].startswith("counted: {")


def test_chain(repository: Path, tmp_path: Path) -> None:
    made = run(repository, tmp_path, "chain", substances={"water": 18.015, "methane": 16.043})
    ended = {row["key"]: row["status"] for row in made.rows("formula")}
    assert set(ended) == {"water", "methane"}
    assert made.status in ("done", "failed")  # the model is small: perhaps it knows neither
    assert made.status == "done" or "failed" in {counts.status for counts in made.state.steps.values()}
    assert set(made.outputs) == {"checked", "uses"}


def test_two_levels(repository: Path, tmp_path: Path) -> None:
    made = run(repository, tmp_path, "two_levels", limit=1)
    assert made.status == "done"
    assert [row["key"] for row in made.rows("find")] == ["monday"]
    assert len(made.outputs["sheet"]) == sum(made.outputs["counts"].values()) <= 1


def test_grid(repository: Path, tmp_path: Path) -> None:
    made = run(repository, tmp_path, "grid", temperatures=[0], samples=1)
    assert made.status == "done"
    assert made.outputs["answer"] in ("direct", "indirect")
    assert [row["of"] for row in made.outputs["table"]] == [1, 1]


def test_refine(repository: Path, tmp_path: Path) -> None:
    made = run(repository, tmp_path, "refine", enough=1)
    assert made.status == "done"
    assert made.outputs["text"]
    assert 1 <= made.outputs["score"] <= 5


def test_survey(repository: Path, tmp_path: Path) -> None:
    papers = tmp_path / "papers.jsonl"
    papers.write_text(json.dumps({"id": "lead", "abstract": "Lead becomes superconducting at 7 kelvin."}) + "\n")
    made = run(repository, tmp_path, "survey", papers=str(papers))
    assert made.status == "done"
    (row,) = made.outputs["table"]
    assert set(row) == {"material", "kind", "kelvin", "sentence", "quoted"}
    assert (made.outputs["quoted"], made.outputs["missing"]) == (int(row["quoted"]), [])
