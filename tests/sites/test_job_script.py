from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metis_flow._version import __version__
from metis_flow.errors import ConfigError
from metis_flow.record.folder import RunFolder
from metis_flow.sites.config import SiteConfig, find_site
from metis_flow.sites.job_script import JobRequest, job_request, job_script, metis_flow_program

ASKED = ("account=Trial", "queue=debug", "nodes=2", "walltime=1:30:00")


def site(name: str = "polaris", *settings: str) -> SiteConfig:
    return find_site(name, settings=(*ASKED, *settings))


def request(name: str = "polaris", *settings: str) -> JobRequest:
    return job_request(site(name, *settings), "survey")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", "survey")


def directives(script: str) -> list[str]:
    return [line for line in script.splitlines() if line.startswith(("#PBS", "#SBATCH"))]


def test_what_pbs_is_asked_for(folder: RunFolder) -> None:
    found = request("polaris", "executors.workers.select_options=ngpus=4", "executors.workers.cpus_per_node=32")
    assert directives(job_script(found, site(), folder, chained=False)) == [
        "#PBS -N survey",
        "#PBS -A Trial",
        "#PBS -q debug",
        "#PBS -l select=2:ncpus=32:ngpus=4",
        "#PBS -l place=scatter",
        "#PBS -l walltime=01:30:00",
        "#PBS -l filesystems=home:eagle",
        "#PBS -r y",
        "#PBS -j oe",
        f"#PBS -o {folder.path}/job/",
    ]


def test_what_slurm_is_asked_for(folder: RunFolder) -> None:
    found = request("slurm", "executors.workers.scheduler_options='#SBATCH --constraint=gpu'")
    assert directives(job_script(found, site("slurm"), folder, chained=False)) == [
        "#SBATCH --job-name=survey",
        "#SBATCH --account=Trial",
        "#SBATCH --partition=debug",
        "#SBATCH --nodes=2",
        "#SBATCH --exclusive",
        "#SBATCH --time=01:30:00",
        "#SBATCH --requeue",
        f"#SBATCH --output={folder.path}/job/%j.out",
        "#SBATCH --constraint=gpu",
    ]


def test_what_is_not_given_is_not_asked_for(folder: RunFolder) -> None:
    bare = dataclasses.replace(request(), account=None, queue=None, filesystems=None, chunk="")
    words = " ".join(directives(job_script(bare, site(), folder, chained=False)))
    assert "#PBS -l select=2 #PBS" in words
    assert all(word not in words for word in (" -A ", " -q ", "filesystems"))


def test_a_job_enters_the_driver_s_environment_by_full_paths(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/my own/config")
    lines = job_script(request(), site(), folder, chained=False).splitlines()
    assert lines[0] == "#!/bin/bash"
    assert f"# Made by metis-flow {__version__}: " in "\n".join(lines)
    assert f"run={folder.path}" in lines
    assert f"cd {tmp_path} || exit 1" in lines
    assert "export TMPDIR=/tmp" in lines
    assert f"source {sys.prefix}/bin/activate" in lines
    assert '[ -n "${https_proxy+set}" ] || export https_proxy=http://proxy.alcf.anl.gov:3128' in lines
    assert "export XDG_CONFIG_HOME='/my own/config'" in lines
    assert lines[-1] == f'exec {metis_flow_program()} resume "$run"'
    assert metis_flow_program().startswith(str(Path(sys.executable).parent))


@pytest.mark.parametrize("name", ["polaris", "slurm"])
@pytest.mark.parametrize("chained", [False, True])
def test_bash_understands_the_script_and_no_path_is_split(tmp_path: Path, name: str, chained: bool) -> None:
    odd = RunFolder.create(tmp_path / "my $runs; here", "survey")
    script = job_script(request(name), site(name), odd, chained=chained)
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=True, capture_output=True).stderr == ""
    (assignment,) = [line for line in script.splitlines() if line.startswith("run=")]
    said = subprocess.run(["bash", "-c", f'{assignment}; printf %s "$run"'], text=True, check=True, capture_output=True)
    assert said.stdout == str(odd.path)


def run_script(folder: RunFolder, tmp_path: Path, driver: str) -> tuple[subprocess.Popen[str], Path]:
    """The chained script, started with a stand-in for metis-flow that notes how it is called."""
    program, calls = tmp_path / "metis-flow", tmp_path / "calls"
    program.write_text(f'#!/bin/bash\necho "$1 ${{*:3}}" >> {calls}\n[ "$1" = resume ] || exit 0\n{driver}\n')
    program.chmod(0o755)
    (folder.path / "job").mkdir()
    text = job_script(request(), site(), folder, chained=True).replace(metis_flow_program(), str(program))
    env = {"PATH": os.environ["PATH"], "PBS_JOBID": "1.x", "HOME": str(tmp_path)}
    return subprocess.Popen(["bash", "-c", text], env=env, text=True), calls


@pytest.mark.parametrize(("code", "calls"), [(5, "resume \nsubmit --next\n"), (0, "resume \n"), (1, "resume \n")])
def test_only_a_stop_by_the_walltime_sends_the_next_job(
    folder: RunFolder, tmp_path: Path, code: int, calls: str
) -> None:
    process, noted = run_script(folder, tmp_path, f"exit {code}")
    assert process.wait(20) == code
    assert noted.read_text() == calls


def test_a_job_that_is_taken_away_lets_the_driver_finish_and_sends_no_other(folder: RunFolder, tmp_path: Path) -> None:
    waits = f"trap 'sleep 0.2; echo drained >> {tmp_path}/said; exit 5' TERM; touch {tmp_path}/ready; sleep 60 & wait"
    process, noted = run_script(folder, tmp_path, waits)
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
    process.terminate()
    assert process.wait(20) == 5
    assert (tmp_path / "said").read_text() == "drained\n"
    assert noted.read_text() == "resume \n"


@pytest.mark.parametrize(
    ("name", "settings", "summary", "hint"),
    [
        (
            "local",
            (),
            "the site 'local' has no scheduler to send a job to",
            "run the workflow here: metis-flow run FILE; or choose a site with one: metis-flow sites",
        ),
        (
            "polaris-login",
            (),
            "the site 'polaris-login' sends jobs of its own from a login node; a job that runs all of the workflow "
            "needs a site for the inside of an allocation",
            "name that one: --site polaris; or type here: metis-flow run FILE --site polaris-login",
        ),
        ("polaris", ("nodes=null",), "the job's nodes are not given", "add --nodes N"),
        ("polaris", ("walltime=null",), "the job's walltime is not given", "add --walltime H:MM:SS"),
    ],
)
def test_a_site_that_no_job_can_be_made_for(name: str, settings: tuple[str, ...], summary: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        job_request(find_site(name, settings=() if name == "local" else (*ASKED, *settings)), "survey")
    assert (caught.value.summary, caught.value.hint) == (summary, hint)


@pytest.mark.parametrize(("name", "job"), [("band gaps", "band-gaps"), ("2d", "run-2d"), ("-x", "run--x")])
def test_names_of_jobs_are_such_as_schedulers_take(name: str, job: str) -> None:
    assert job_request(site(), name).name == job
