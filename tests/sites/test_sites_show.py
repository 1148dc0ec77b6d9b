"""``metis-flow sites`` and ``sites show``, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from metis_flow.cli.setup.sites import command


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PBS_NODEFILE", "SLURM_JOB_NODELIST", "SLURM_NODELIST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(*arguments: str) -> str:
    ended = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert ended.exit_code == 0
    return ended.output


def document(*arguments: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(said(*arguments, "--json"))
    return found


def test_each_site_has_a_row(here: Path) -> None:
    (here / "ours.yaml").write_text("extends: polaris\ndescription: our part of Polaris\n")
    (row,) = [line for line in said().splitlines() if line.startswith("ours ")]
    cells = [cell.strip() for cell in row.split("  ") if cell.strip()]
    assert cells == ["ours", "workers (htex), mpi (mpi)", "our part of Polaris", "ours.yaml"]


def test_a_value_stands_with_the_line_that_it_comes_from(here: Path) -> None:
    (here / "ours.yaml").write_text("extends: polaris\n\naccount: Moons\n")
    rows = [line.split() for line in said("show", "ours", "--set", "queue=prod").splitlines()]
    assert ["account", "Moons", "ours.yaml:3"] in rows
    assert ["queue", "prod", "--set"] in rows
    (accelerators,) = [row for row in rows if row[:1] == ["executors.workers.accelerators"]]
    assert accelerators[1] == "4"
    assert accelerators[2].endswith("configs/sites/polaris.yaml:23")


def test_what_parsl_is_told(here: Path) -> None:
    text = said("show", "polaris-login", "--set", "account=Moons", "--set", "nodes=2")
    workers = text.split("What Parsl is told of workers:")[1].split("What Parsl is told of mpi:")[0]
    for line in (
        "  provider: PBSProProvider",
        "    account: Moons",
        "    nodes_per_block: 2",
        "    scheduler_options: #PBS -l filesystems=home:eagle",
        "    launcher: MpiExecLauncher",
        "      overrides: --depth=64 --ppn 1",
        "  prefetch_capacity: 0",
        "  heartbeat_threshold: 120",
        "      export TMPDIR=/tmp",
    ):
        assert line in workers.splitlines()


def test_outside_of_an_allocation_one_is_imagined(here: Path) -> None:
    text = said("show", "polaris", "--set", "nodes=3")
    assert "There is no allocation here; what follows is for one of 3 nodes." in text
    shown = document("show", "polaris")
    assert (shown["hosts"], shown["in_allocation"]) == (["node1"], False)


def test_inside_of_one_its_nodes_are_shown(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "nodes").write_text("x1\nx1\nx2\n")
    monkeypatch.setenv("PBS_NODEFILE", str(here / "nodes"))
    shown = document("show", "polaris")
    assert (shown["hosts"], shown["in_allocation"]) == (["x1", "x2"], True)


def test_the_document_holds_values_their_origins_and_what_parsl_is_told(here: Path) -> None:
    shown = document("show", "local-processes", "--set", "executors.processes.workers=3")
    assert {"name": "executors.processes.workers", "value": 3, "from": "--set executors.processes.workers=3"} in (
        shown["values"]  # type: ignore[operator]
    )
    told = shown["parsl"]["processes"]  # type: ignore[index]
    assert (told["class"], told["max_workers_per_node"]) == ("HighThroughputExecutor", 3)


def test_showing_a_globus_compute_endpoint_asks_for_no_login(here: Path) -> None:
    told = document("show", "globus-compute")["parsl"]
    assert told == {
        "globus": {"class": "GlobusComputeExecutor", "endpoint_id": None, "user_endpoint_config": {}},
    }
