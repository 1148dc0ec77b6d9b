"""`metis-flow init`: a study that runs as it is."""

from __future__ import annotations

import json
from pathlib import Path

from cli_kit import Cli, Here

from metis_flow.workflow.load import load_workflow

FILES = ["data/moons.csv", "metis-flow.schema.json", "moons.yaml", "moons_score.py", "prompts/ask.md"]


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_init_makes_a_study_and_says_how_to_run_it(here: Here) -> None:
    ended = here("init", "my study")
    assert ended.code == 0
    assert files_in(Path("my study")) == FILES
    assert ended.out.endswith("\nnext: metis-flow run 'my study/moons.yaml'\n")
    assert here("validate", "my study/moons.yaml").out == "my study/moons.yaml: fine: 3 steps\n"
    assert json.loads(Path("my study/metis-flow.schema.json").read_text()) == here("schema").document


def test_init_in_the_current_folder(here: Here) -> None:
    ended = here("init")
    assert ended.code == 0
    assert ended.out.splitlines()[0] == "data/moons.csv"
    assert ended.out.endswith("\nnext: metis-flow run moons.yaml\n")


def test_init_changes_nothing_that_is_there(here: Here) -> None:
    Path("moons.yaml").write_text("mine")
    ended = here("init")
    assert ended.code == 2
    assert ended.err == ".: there is already moons.yaml\n  hint: choose another folder: metis-flow init NAME\n"
    assert files_in(Path()) == ["moons.yaml"]
    assert Path("moons.yaml").read_text() == "mine"


def test_init_where_a_file_stands_in_the_way(here: Here) -> None:
    Path("study").write_text("")
    ended = here("init", "study")
    assert ended.code == 2
    assert "Traceback" not in ended.err


def test_the_study_runs_on_the_embedded_model(cli: Cli) -> None:
    assert cli("init", "study").code == 0
    ended = cli("run", "study/moons.yaml", "--limit", "2", "--json")
    document = ended.document
    assert ended.code == 0, ended.err
    assert document["calls"] >= 2
    assert document["outputs"]["asked"] == 2
    assert len(document["outputs"]["mistakes"]) == 2 - document["outputs"]["right"]
    assert not any("__pycache__" in name for name in files_in(cli.folder / "runs"))


def test_what_a_step_of_the_study_refers_to_is_there(here: Here) -> None:
    here("init")
    workflow = load_workflow("moons.yaml")
    assert workflow.included == {"prompts/ask.md": Path("prompts/ask.md").read_text()}
    assert workflow.endpoint == "embedded"
