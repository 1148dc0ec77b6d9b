from __future__ import annotations

import json
import stat
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from metis_flow.sites import schedulers
from metis_flow.sites.walltime import Walltime, remaining_walltime


def stand_in(folder: Path, name: str, script: str) -> dict[str, str]:
    """An environment whose PATH has this shell script first."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def qstat(folder: Path, job: Mapping[str, object]) -> dict[str, str]:
    """An environment in a PBS job, whose qstat says this of it."""
    document = json.dumps({"Jobs": {"7.server": job}})
    checked = f"[ \"$*\" = '-f -F json 7.server' ] || exit 9\ncat <<'END'\n{document}\nEND"
    return stand_in(folder, "qstat", checked) | {"PBS_JOBID": "7.server"}


def squeue(folder: Path, words: str) -> dict[str, str]:
    """An environment in a Slurm job, whose squeue says this of it."""
    script = f"[ \"$*\" = '-h -j 7 -o %L %l' ] || exit 9\necho '{words}'"
    return stand_in(folder, "squeue", script) | {"SLURM_JOB_ID": "7"}


def test_outside_of_a_job_there_is_no_walltime() -> None:
    assert remaining_walltime({}) is None
    assert remaining_walltime({"PBS_JOBID": "", "SLURM_JOB_ID": ""}) is None


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in squeue(tmp_path, "1:00 2:00").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PBS_JOBID", raising=False)
    assert remaining_walltime() == Walltime("Slurm", "7", 60.0, 120.0)


@pytest.mark.parametrize(
    ("limit", "used", "remaining", "total"),
    [
        ("01:00:00", "00:00:12", 3588.0, 3600.0),
        ("48:00:00", "01:00:00", 47 * 3600.0, 48 * 3600.0),
        ("00:01:00", "00:01:09", 0.0, 60.0),  # over its time, and not yet ended
        ("600", "30", 570.0, 600.0),
    ],
)
def test_pbs_tells_limit_and_use(tmp_path: Path, limit: str, used: str, remaining: float, total: float) -> None:
    job = {"Resource_List": {"walltime": limit}, "resources_used": {"walltime": used}}
    assert remaining_walltime(qstat(tmp_path, job)) == Walltime("PBS", "7.server", remaining, total)


def test_a_pbs_job_that_has_just_begun_has_used_nothing(tmp_path: Path) -> None:
    found = remaining_walltime(qstat(tmp_path, {"Resource_List": {"walltime": "00:10:00"}}))
    assert found == Walltime("PBS", "7.server", 600.0, 600.0)


@pytest.mark.parametrize(
    ("ago", "used", "elapsed"),
    [
        (300, "00:02:00", 300),  # the use is minutes old
        (30, "00:02:00", 120),  # a clock that is behind
        (7200, "00:02:00", 120),  # another time zone
    ],
)
def test_the_start_of_a_pbs_job_is_believed_where_its_use_lags(
    tmp_path: Path, ago: float, used: str, elapsed: float
) -> None:
    began = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(time.time() - ago))
    job = {"Resource_List": {"walltime": "04:00:00"}, "resources_used": {"walltime": used}, "stime": began}
    found = remaining_walltime(qstat(tmp_path, job))
    assert found is not None
    assert found.remaining == pytest.approx(4 * 3600 - elapsed, abs=30)


@pytest.mark.parametrize(
    ("words", "remaining", "total"),
    [
        ("59:58 1:00:00", 3598.0, 3600.0),
        ("1-02:00:00 2-00:00:00", 26 * 3600.0, 48 * 3600.0),
        ("0:07 1:00", 7.0, 60.0),
        ("INVALID 1:00", 0.0, 60.0),
    ],
)
def test_slurm_tells_what_is_left(tmp_path: Path, words: str, remaining: float, total: float) -> None:
    assert remaining_walltime(squeue(tmp_path, words)) == Walltime("Slurm", "7", remaining, total)


def test_slurm_that_gives_the_end_is_not_asked(tmp_path: Path) -> None:
    now = int(time.time())
    job = {"SLURM_JOB_ID": "7", "SLURM_JOB_START_TIME": f"{now - 100}", "SLURM_JOB_END_TIME": f"{now + 500}"}
    found = remaining_walltime(job | {"PATH": str(tmp_path)})
    assert found is not None
    assert (found.total, found.problem) == (600.0, None)
    assert found.remaining == pytest.approx(500, abs=30)


@pytest.mark.parametrize("words", ["UNLIMITED UNLIMITED", "NOT_SET NOT_SET"])
def test_a_job_without_a_limit_says_so(tmp_path: Path, words: str) -> None:
    assert remaining_walltime(squeue(tmp_path, words)) == Walltime("Slurm", "7", problem="the job has no time limit")
    found = remaining_walltime(qstat(tmp_path, {"Resource_List": {"nodect": 1}}))
    assert found == Walltime("PBS", "7.server", problem="the job has no time limit")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'qstat: cannot connect to server' >&2; exit 3", "qstat failed: qstat: cannot connect to server"),
        ("exit 3", "qstat failed: exit 3"),
        ("echo none", "the answer of qstat is not that of a job: none"),
        ("echo '{\"Jobs\": {}}'", 'the answer of qstat is not that of a job: {"Jobs": {}}'),
        ("echo '[]'", "the answer of qstat is not that of a job: []"),
        ("exec sleep 60", "qstat did not answer within 0.2 s"),
    ],
)
def test_a_broken_qstat_is_told_and_not_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, problem: str
) -> None:
    if "sleep" in script:
        monkeypatch.setattr(schedulers, "ANSWER_SECONDS", 0.2)
    found = remaining_walltime(stand_in(tmp_path, "qstat", script) | {"PBS_JOBID": "7"})
    assert found == Walltime("PBS", "7", problem=problem)


def test_a_time_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    found = remaining_walltime(qstat(tmp_path, {"Resource_List": {"walltime": "soon"}}))
    assert found == Walltime("PBS", "7.server", problem="the scheduler's time 'soon' cannot be read")


def test_a_job_that_squeue_does_not_know_is_told(tmp_path: Path) -> None:
    assert remaining_walltime(squeue(tmp_path, "")) == Walltime("Slurm", "7", problem="squeue does not know the job")


def test_a_missing_command_is_told(tmp_path: Path) -> None:
    found = remaining_walltime({"PATH": str(tmp_path), "PBS_JOBID": "7"})
    assert found == Walltime("PBS", "7", problem="qstat is not on PATH")


def test_a_command_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "qstat").write_text("no program\n")
    (tmp_path / "qstat").chmod(0o755)
    found = remaining_walltime({"PATH": str(tmp_path), "PBS_JOBID": "7"})
    assert found == Walltime("PBS", "7", problem="qstat cannot be run: Exec format error")
