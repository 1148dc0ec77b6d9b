"""Runs on sites of several kinds, with the real Parsl and real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from metis_flow import Workflow
from metis_flow.api import Run
from metis_flow.errors import ConfigError
from metis_flow.record.journal import read_journal

TWO = """\
    executors:
      light: {kind: threads, workers: 2}
      heavy: {kind: processes, workers: 2, cores: 64, gpus: 1}
"""
WHERE = """\
    import os


    def where():
        return ["worker", os.environ["PARSL_WORKER_COUNT"]] if "PARSL_WORKER_RANK" in os.environ else ["driver"]
"""


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PBS_NODEFILE", "SLURM_JOB_NODELIST", "SLURM_NODELIST", "PARSL_WORKER_RANK"):
        monkeypatch.delenv(name, raising=False)


def write(path: Path, text: str) -> Path:
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def run(folder: Path, steps: str, site: str) -> Run:
    head = "version: 1\nname: flow\nsteps:\n"
    path = write(folder / "flow.yaml", head + textwrap.indent(textwrap.dedent(steps), "  "))
    write(folder / "work.py", WHERE)
    return Workflow.load(path).run(site=site, runs_dir=folder / "runs")


def output(run: Run, step: str) -> object:
    (row,) = run.rows(step)
    assert row["status"] == "done", row["error"]
    return row["output"]


@pytest.mark.timeout(60)
def test_each_step_of_one_run_goes_to_the_executor_that_it_chooses(tmp_path: Path) -> None:
    site = write(tmp_path / "two.yaml", TWO)
    ended = run(
        tmp_path,
        """\
        a: {python: "work:where"}
        b: {python: "work:where", executor: heavy}
        c: {python: "work:where", resources: {gpus: 1}}
        d: {run: "echo ${PARSL_WORKER_COUNT:-driver}", resources: {cores: 64}}
        e: {run: "echo ${PARSL_WORKER_COUNT:-driver}", executor: workers}
        """,
        str(site),
    )
    assert ended.status == "done"
    expected = {"a": ["driver"], "b": ["worker", "2"], "c": ["worker", "2"], "d": "2", "e": "driver"}
    assert {step: output(ended, step) for step in expected} == expected


def test_an_executor_that_no_step_chooses_is_not_started(tmp_path: Path) -> None:
    site = write(tmp_path / "two.yaml", TWO.replace("kind: processes", "kind: htex, address: no-such-interface"))
    assert output(run(tmp_path, 'a: {python: "work:where"}\n', str(site)), "a") == ["driver"]
    with pytest.raises(ConfigError, match="no network interface"):
        run(tmp_path, 'a: {python: "work:where", executor: heavy}\n', str(site))


@pytest.mark.timeout(60)
def test_an_mpi_step_gets_its_nodes_and_the_command_for_its_ranks(tmp_path: Path) -> None:
    mpiexec = write(tmp_path / "mpiexec", '#!/bin/sh\necho "$1 $2 $3 $4 $5"\nshift 6\nexec "$@"\n')
    mpiexec.chmod(0o755)
    site = write(
        tmp_path / "mpi.yaml",
        f"""\
        worker_init: export PATH={tmp_path}:$PATH
        executors:
          light: {{kind: threads}}
          mpi: {{kind: mpi}}
        """,
    )
    step = "$PARSL_MPI_PREFIX sh -c 'echo ran with $PARSL_NUM_RANKS'"
    ended = run(
        tmp_path, f"a: {{resources: {{nodes: 1, ranks_per_node: 3}}, run: {step!r}}}\n".replace('"', ""), str(site)
    )
    assert output(ended, "a") == "-n 3 -ppn 3 -hosts\nran with 3"


@pytest.mark.timeout(60)
def test_workers_whose_environment_cannot_be_made_say_so(tmp_path: Path) -> None:
    site = write(
        tmp_path / "broken.yaml",
        """\
        worker_init: |
          echo "module: no-such-module is not there" >&2
          exit 3
        executors:
          nodes: {kind: htex, workers: 1}
        """,
    )
    ended = run(tmp_path, 'a: {python: "work:where"}\n', str(site))
    assert ended.status == "failed"
    errors = [entry["error"] for entry in read_journal(ended.folder.journal) if entry["e"] == "failed"]
    assert "the nodes of 'nodes' did not start" in errors[-1]["summary"]
    assert "module: no-such-module is not there" in errors[-1]["summary"]


@pytest.mark.timeout(60)
def test_an_environment_need_not_be_activated(tmp_path: Path) -> None:
    flow = write(
        tmp_path / "flow.yaml",
        """\
        version: 1
        name: flow
        steps:
          a: {run: "command -v interchange.py || echo nowhere"}
          b: {python: "work:where"}
        outputs: {a: "${{ steps.a.output }}", b: "${{ steps.b.output[0] }}"}
        """,
    )
    write(tmp_path / "work.py", WHERE)
    program = Path(sys.executable).parent / "metis-flow"
    ended = subprocess.run(
        [program, "run", flow, "--site", "local-processes"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    outputs = Run.open("last", tmp_path / "runs").outputs
    assert outputs == {"a": "nowhere", "b": "worker"}


def test_what_the_driver_lacks_of_a_sites_environment_it_has_during_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PBS_NODEFILE", str(write(tmp_path / "nodes", "x1\n")))
    monkeypatch.setenv("ONE", "own")
    monkeypatch.delenv("OTHER", raising=False)
    site = write(
        tmp_path / "job.yaml",
        """\
        scheduler: pbs
        environment: {ONE: of the site, OTHER: of the site}
        executors: {light: {kind: threads}, nodes: {kind: htex}}
        """,
    )
    ended = run(tmp_path, 'a: {run: "echo $ONE, $OTHER"}\n', str(site))
    assert output(ended, "a") == "own, of the site"
    assert "OTHER" not in os.environ
