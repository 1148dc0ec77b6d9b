"""The stand-ins for PBS behave as PBS does where metis-flow and Parsl depend on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pbs_kit import Pbs
from slurm_kit import wait_for

ASKED = {"walltime": "00:00:30", "select": "1:ncpus=64", "filesystems": "home"}


def script(pbs: Pbs, text: str, **more: str) -> str:
    """The file of a job that asks for `ASKED`, and more."""
    lines = [f"#PBS -l {name}={value}" for name, value in (ASKED | more).items() if value]
    path = pbs.folder / "job.sh"
    path.write_text("\n".join(["#!/bin/bash", "#PBS -A trial -q debug", "#PBS -N trial", *lines, text, ""]))
    return str(path)


def seen(pbs: Pbs, job: str) -> dict[str, Any]:
    """What qstat says of a job."""
    found: Mapping[str, dict[str, Any]] = json.loads(pbs("qstat", "-x", "-f", "-F", "json", job).stdout)["Jobs"]
    return found[job]


def finished(pbs: Pbs, job: str) -> dict[str, Any]:
    """What qstat says of a job once it has ended."""
    wait_for(lambda: seen(pbs, job)["job_state"] == "F", lambda: str(pbs.log()))
    return seen(pbs, job)


def test_a_job_gets_a_bare_login_environment(pbs: Pbs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_SUBMITTER", "1")
    job = pbs("qsub", script(pbs, "pwd; env; cat $PBS_NODEFILE >&2; exit 3")).stdout.strip()
    assert finished(pbs, job)["Exit_status"] == 3
    out = (pbs.folder / f"trial.o{job.split('.')[0]}").read_text().splitlines()
    assert out[0] == str(pbs.home)
    environment = dict(line.split("=", 1) for line in out[1:] if "=" in line)
    assert "OF_THE_SUBMITTER" not in environment
    assert (environment["PBS_JOBID"], environment["PBS_O_WORKDIR"]) == (job, str(pbs.folder))
    assert (pbs.folder / f"trial.e{job.split('.')[0]}").read_text() == "x1\n"


@pytest.mark.parametrize(
    ("more", "nodefile"),
    [
        ({"select": "2:ncpus=1"}, ["x1", "x1"]),
        ({"select": "2:ncpus=1", "place": "scatter"}, ["x1", "x2"]),
        ({"select": "2:ncpus=64:ngpus=4"}, ["x1", "x2"]),
    ],
)
def test_chunks_are_packed_unless_they_are_scattered(pbs: Pbs, more: dict[str, str], nodefile: list[str]) -> None:
    job = pbs("qsub", script(pbs, "cat $PBS_NODEFILE", **more)).stdout.strip()
    finished(pbs, job)
    assert pbs.output(job).split() == nodefile


@pytest.mark.parametrize(
    ("words", "more", "message"),
    [
        (["-q", "nope"], {}, "qsub: Unknown queue"),
        (["-A", "nope"], {}, "qsub: Job rejected: no active allocation of project nope"),
        ([], {"filesystems": ""}, "qsub: Resource: filesystems is required to be set."),
        ([], {"colour": "blue"}, "qsub: Unknown resource: Resource_List.colour"),
        ([], {"walltime": "02:00:00"}, "qsub: Job violates queue and/or server resource limits"),
    ],
)
def test_what_a_job_may_not_have_is_refused(pbs: Pbs, words: list[str], more: dict[str, str], message: str) -> None:
    done = pbs("qsub", *words, script(pbs, "true", **more))
    assert (done.returncode, done.stdout, done.stderr.strip()) == (1, "", message)


def test_walltime_ends_a_job_with_everything_in_it(pbs: Pbs, tmp_path: Path) -> None:
    lines = f"trap 'echo term >> {tmp_path}/said' TERM; setsid sleep 100 & while true; do sleep 0.1; done"
    job = pbs("qsub", script(pbs, lines, walltime="00:00:01")).stdout.strip()
    assert finished(pbs, job)["Exit_status"] == -29
    assert (tmp_path / "said").read_text() == "term\n"
    assert [line["event"] for line in pbs.log()] == ["queued", "started", "ending", "ended"]


def test_a_job_that_can_never_run_says_so_and_is_taken_back(pbs: Pbs) -> None:
    job = pbs("qsub", script(pbs, "true", select="3:ncpus=64")).stdout.strip()
    wait_for(lambda: "comment" in seen(pbs, job), lambda: str(pbs.log()))
    assert seen(pbs, job)["comment"] == "Can Never Run: Not enough total nodes available"
    pbs("qdel", job)
    assert finished(pbs, job)["job_state"] == "F"


def test_jobs_wait_for_free_hosts(pbs: Pbs) -> None:
    first = pbs("qsub", script(pbs, "sleep 60", select="2:ncpus=64")).stdout.strip()
    wait_for(lambda: seen(pbs, first)["job_state"] == "R", lambda: str(pbs.log()))
    second = pbs("qsub", script(pbs, "true")).stdout.strip()
    assert seen(pbs, second)["job_state"] == "Q"
    pbs("qdel", first)
    assert finished(pbs, second)["Exit_status"] == 0
    assert seen(pbs, first)["Exit_status"] == 271


def test_mpiexec_starts_ranks_on_hosts(pbs: Pbs) -> None:
    say = "sh -c 'echo $PALS_RANKID $PALS_HOST'"
    lines = f"mpiexec --cpu-bind none --depth=64 --ppn 2 -n 4 --hostfile $PBS_NODEFILE {say} | sort"
    job = pbs("qsub", script(pbs, lines, select="2:ncpus=64")).stdout.strip()
    finished(pbs, job)
    assert pbs.output(job) == "0 x1\n1 x1\n2 x2\n3 x2\n"
