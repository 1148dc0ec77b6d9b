from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from metis_flow.cli import run_command
from metis_flow.inference.endpoints import EndpointConfig, find_endpoint
from metis_flow.inference.globus import RESOURCE_SERVER, token_file, write_token_data
from metis_flow.sites.config import SiteConfig, find_site
from metis_flow.sites.doctor import here
from metis_flow.sites.doctor.answers import about_login, about_reach
from metis_flow.sites.doctor.finding import Finding
from metis_flow.sites.doctor.here import about_python, about_runs, about_tmpdir, file_system
from metis_flow.sites.doctor.machine import about_proxy, about_scheduler
from metis_flow.sites.doctor.workers import about_workers, by_value, compare, probe

NO_JOB = ("PBS_JOBID", "PBS_NODEFILE", "SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_NODELIST")


@pytest.fixture(autouse=True)
def outside_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NO_JOB, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def told(findings: Iterable[Finding], check: str) -> tuple[str, str, str | None]:
    """Level, words and mend of the one finding of a check."""
    (finding,) = [finding for finding in findings if finding.check == check]
    return finding.level, finding.what, finding.mend


def polaris(*settings: str) -> SiteConfig:
    return find_site("polaris", settings=settings)


def commands(folder: Path, **scripts: str) -> None:
    """Programs in a folder."""
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


# -- this machine


def test_python_packages_and_parsl_s_programs_are_told() -> None:
    found = list(about_python())
    assert [finding.level for finding in found] == ["ok", "ok"]
    assert "parsl 20" in found[0].what
    assert sys.prefix in found[0].what
    assert found[1].what == f"in {Path(sys.executable).parent}"


def test_missing_programs_of_parsl_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "PARSL_PROGRAMS", ("no-such-helper.py",))
    assert told(about_python(), "parsl programs") == (
        "fail",
        f"Parsl's no-such-helper.py is not beside {sys.executable}",
        "install parsl into the same environment",
    )


def test_a_tmpdir_that_is_too_long_for_sockets_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path(tempfile.mkdtemp(dir="/tmp"))
    edge = short / ("x" * (here.SOCKET_PATH - here.SOCKET_NAME - len(str(short)) - 1))
    long = Path(f"{edge}x")
    for folder, level in ((edge, "ok"), (long, "fail")):
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        found = about_tmpdir()
        assert found.level == level
        # as multiprocessing makes them
        code = "from multiprocessing.connection import Listener; Listener(family='AF_UNIX')"
        done = subprocess.run([sys.executable, "-c", code], env={"TMPDIR": str(folder)}, capture_output=True, text=True)
        assert (done.returncode == 0) == (level == "ok"), done.stderr
        assert ("AF_UNIX path too long" in done.stderr) == (level == "fail")
    assert found.mend == "type: export TMPDIR=/tmp"
    assert found.what == f"{long} is 76 characters long, and sockets in it need at most 75 (AF_UNIX path too long)"
    for folder in (edge, long, short):
        folder.rmdir()


def test_a_runs_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    level, what, mend = told(about_runs(polaris(), tmp_path / "runs"), "runs folder")
    assert (level, what) == ("fail", f"{tmp_path}/runs cannot be written: Not a directory")
    assert mend == "choose a folder of a project file system: --runs-dir DIR"


def test_a_runs_folder_of_this_machine_alone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "file_system", lambda path: "ext4")
    level, what, _ = told(about_runs(polaris(), tmp_path / "runs"), "runs folder")
    assert level == "warn"
    assert what == f"{tmp_path}/runs is on a file system of this machine alone (ext4), and other nodes do not see it"
    assert told(about_runs(find_site("local"), tmp_path / "runs"), "runs folder")[0] == "ok"
    monkeypatch.setattr(here, "file_system", lambda path: "lustre")
    assert told(about_runs(polaris(), tmp_path / "runs"), "runs folder")[:2] == ("ok", f"{tmp_path}/runs (lustre)")
    assert list(tmp_path.iterdir()) == []


def test_a_runs_folder_in_the_home_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    level, what, _ = told(about_runs(polaris(), tmp_path / "runs"), "home quota")
    assert (level, what) == ("warn", f"{tmp_path}/runs is in your home, which often has a small quota")
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    assert [finding.check for finding in about_runs(polaris(), tmp_path / "runs")] == ["runs folder"]


def test_little_space_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "LITTLE_SPACE", 10**18)
    level, what, _ = told(about_runs(find_site("local"), tmp_path), "free space")
    assert level == "warn"
    assert what.endswith(" are left where the runs are")


def test_the_file_system_of_a_path_is_that_of_the_longest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    odd = str(tmp_path).replace(" ", "\\040")
    mounts.write_text(f"a / ext4 rw 0 0\nb {odd}/lus lustre rw 0 0\nc {odd}/lus/my\\040x nfs4 rw 0 0\n")
    for name, kind in (
        ("x", "ext4"),
        ("lus", "lustre"),
        ("lus/sub", "lustre"),
        ("lus/my x/y", "nfs4"),
        ("lust", "ext4"),
    ):
        assert file_system(tmp_path / name, mounts) == kind
    assert file_system(tmp_path, tmp_path / "none") is None


# -- the batch system


def test_without_a_scheduler_nothing_is_asked_about_one() -> None:
    assert list(about_scheduler(find_site("local"))) == []
    assert list(about_proxy(find_site("local"))) == []


def test_missing_commands_and_an_allocation_that_is_not_there_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands(tmp_path / "bin", qsub="")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = list(about_scheduler(polaris()))
    assert told(found, "scheduler") == (
        "fail",
        "qstat, qdel of PBS not on PATH",
        "log in to a machine that has PBS",
    )
    assert told(found, "allocation") == (
        "warn",
        "none here, and the site is for the inside of one",
        "use --site polaris-login on a login node, or metis-flow submit FILE --site polaris",
    )
    assert told(found, "account") == (
        "warn",
        "none given: the scheduler's own choice, if it has one",
        "say who pays: metis-flow submit … --account NAME",
    )


def test_what_a_job_has_to_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path / "bin", qsub="", qstat="", qdel="")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = list(about_scheduler(find_site("polaris-login", settings=("filesystems=null",))))
    assert told(found, "scheduler") == ("ok", "PBS: qsub, qstat, qdel are on PATH", None)
    assert told(found, "allocation")[:2] == ("ok", "none here: blocks are asked for when steps need nodes")
    assert told(found, "account")[2] == "say who pays: --set account=NAME"
    assert told(found, "queue") == ("ok", "debug", None)
    assert told(found, "filesystems") == (
        "warn",
        "none given; ALCF's PBS refuses such jobs",
        "say --set filesystems=home:eagle",
    )
    assert told(about_scheduler(polaris()), "filesystems") == ("ok", "home:eagle", None)


def test_an_allocation_is_told_with_its_hosts_time_and_launchers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = {"Jobs": {"7": {"Resource_List": {"walltime": "01:00:00"}, "resources_used": {"walltime": "00:20:00"}}}}
    commands(tmp_path / "bin", qsub="", qdel="", qstat=f"echo '{json.dumps(job)}'")
    (tmp_path / "nodes").write_text("x1\nx1\nx2\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    monkeypatch.setenv("PBS_JOBID", "7")
    monkeypatch.setenv("PBS_NODEFILE", str(tmp_path / "nodes"))
    found = list(about_scheduler(polaris()))
    assert told(found, "allocation") == ("ok", "2 nodes: x1, x2", None)
    assert told(found, "walltime") == ("ok", "40m00s left of job 7", None)
    assert told(found, "launcher") == (
        "fail",
        "mpiexec is not on PATH",
        "load the module that has it before you start",
    )
    commands(tmp_path / "bin", mpiexec="", qstat="echo no server >&2; exit 1")
    found = list(about_scheduler(polaris()))
    assert told(found, "launcher") == ("ok", f"{tmp_path}/bin/mpiexec", None)
    assert told(found, "walltime") == (
        "warn",
        "unknown: qstat failed: no server",
        "end runs in time yourself: --time-limit T",
    )


def test_proxies_are_those_of_the_site_or_of_the_environment() -> None:
    assert told(about_proxy(polaris(), {}), "proxy") == ("ok", "http://proxy.alcf.anl.gov:3128", None)
    bare = find_site("slurm")
    assert told(about_proxy(bare, {}), "proxy")[0] == "ok"
    assert told(about_proxy(bare, {"SLURM_JOB_ID": "1", "HTTP_PROXY": "http://p:1"}), "proxy") == (
        "warn",
        "https_proxy not set, here or in the site",
        "if compute nodes have no internet of their own: --set environment.https_proxy=http://HOST:PORT",
    )
    proxies = {"http_proxy": "http://p:1", "https_proxy": "http://p:1", "no_proxy": "a.b"}
    assert told(about_proxy(bare, proxies), "proxy") == (
        "warn",
        "no_proxy leaves out this machine, so that calls to a local endpoint take the proxy",
        "type: export no_proxy=a.b,localhost,127.0.0.1",
    )


# -- the endpoint


def globus_login(seconds: float, monkeypatch: pytest.MonkeyPatch, home: Path, *, renewable: bool) -> None:
    monkeypatch.setenv("HOME", str(home))
    entry = {"access_token": "secret", "expires_at_seconds": int(time.time() + seconds) + 30}
    write_token_data(token_file(), {RESOURCE_SERVER: entry | ({"refresh_token": "also"} if renewable else {})})


def test_who_is_not_logged_in_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert told(about_login(find_endpoint("metis"), polaris()), "login") == (
        "fail",
        "the endpoint 'metis' needs one: nobody is logged in",
        "type: metis-flow auth login",
    )


@pytest.mark.parametrize(
    ("hours", "renewable", "level", "what"),
    [
        (40, True, "ok", "the token ends in 40h00m, and is renewed by itself"),
        (40, False, "warn", "the token ends in 40h00m and cannot be renewed"),
        (2, True, "warn", "the token ends in 2h00m, before a job of 6h00m would"),
    ],
)
def test_the_life_of_a_token_is_told(
    hours: float, renewable: bool, level: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    globus_login(hours * 3600, monkeypatch, tmp_path, renewable=renewable)
    found = told(about_login(find_endpoint("metis"), polaris("walltime=6h")), "login")
    assert found[:2] == (level, what)
    assert found[2] == (None if level == "ok" else "type: metis-flow auth login --force")


def endpoint(tmp_path: Path, text: str) -> EndpointConfig:
    path = tmp_path / "near.yaml"
    path.write_text(f"kind: openai\n{text}\n")
    return find_endpoint(str(path))


def test_a_key_that_is_a_variable_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    keyed = endpoint(tmp_path, "base_url: http://127.0.0.1:1/v1\nauth: {kind: env, variable: MY_KEY}")
    found = told(about_login(keyed, polaris()), "login")
    assert found == ("fail", "the endpoint 'near' takes it from MY_KEY, which is not set", "type: export MY_KEY=…")
    monkeypatch.setenv("MY_KEY", "secret")
    assert told(about_login(keyed, polaris()), "login")[:2] == ("warn", "MY_KEY is set here; PBS jobs do not get it")
    assert told(about_login(keyed, find_site("local")), "login") == ("ok", "MY_KEY is set", None)


def test_an_endpoint_in_reach_and_one_that_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        near = endpoint(tmp_path, f"base_url: http://127.0.0.1:{port}/v1")
        assert told(about_reach(near), "endpoint") == ("ok", "near: 127.0.0.1 can be reached", None)
        far = endpoint(tmp_path, "base_url: https://elsewhere.invalid/v1")
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        words = f"near: elsewhere.invalid can be reached by the proxy 127.0.0.1:{port}"
        assert told(about_reach(far), "endpoint") == ("ok", words, None)
    assert told(about_reach(far), "endpoint") == (
        "fail",
        f"near: 127.0.0.1:{port} cannot be reached: Connection refused",
        "see whether the proxy is right",
    )
    monkeypatch.delenv("https_proxy")
    assert told(about_reach(near), "endpoint") == (
        "fail",
        f"near: 127.0.0.1:{port} cannot be reached: Connection refused",
        "see whether this machine needs a proxy: export https_proxy=…",
    )


# -- the workers


def worker(**more: Any) -> dict[str, Any]:
    seen = {"host": "x1", "python": "3.11.1", "packages": {"parsl": "1"}, "tmpdir": "/tmp", "sees": True}
    return {**seen, **more}


def test_workers_like_the_driver_are_well() -> None:
    found = list(compare([worker(), worker(host="x2")], worker()))
    assert {finding.level for finding in found} == {"ok"}
    assert told(found, "workers")[1] == "answer on 2 hosts: x1, x2"


@pytest.mark.parametrize(
    ("other", "check", "what"),
    [
        ({"python": "3.9.2"}, "worker python", "Python 3.9.2, and the driver has 3.11.1"),
        ({"packages": {"parsl": "2"}}, "worker packages", "parsl 2, and the driver has 1"),
        ({"packages": {}}, "worker packages", "parsl missing, and the driver has 1"),
        ({"sees": False}, "shared folder", "workers do not see the folder of the runs"),
        ({"tmpdir": "/" + "x" * 80}, "worker TMPDIR", f"/{'x' * 80} is too long for sockets (AF_UNIX path too long)"),
    ],
)
def test_a_worker_that_differs_is_told(other: dict[str, Any], check: str, what: str) -> None:
    found = told(compare([worker(), worker(**other)], worker()), check)
    assert found[:2] == ("fail", what)
    assert found[2]


def test_a_worker_needs_no_metis_flow_to_answer(tmp_path: Path) -> None:
    (tmp_path / "probe").write_bytes(import_module("dill").dumps(by_value(probe)))
    code = (
        "import sys; sys.modules['metis_flow'] = None; import dill, pickle\n"
        f"seen = dill.load(open({str(tmp_path / 'probe')!r}, 'rb'))(('parsl', 'no-such'), {str(tmp_path)!r}, 0)\n"
        "sys.stdout.buffer.write(pickle.dumps(seen))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    seen = pickle.loads(done.stdout)
    assert seen == probe(("parsl", "no-such"), str(tmp_path), 0)
    assert (list(seen["packages"]), seen["sees"]) == (["parsl"], True)


def test_real_workers_are_compared_and_leave_nothing_behind(tmp_path: Path) -> None:
    found = list(about_workers(find_site("local-processes"), tmp_path / "runs"))
    assert [(finding.check, finding.level) for finding in found] == [
        ("workers", "ok"),
        ("worker packages", "ok"),
        ("shared folder", "ok"),
    ]
    assert list((tmp_path / "runs").iterdir()) == []


def test_an_executor_in_the_driver_is_not_tried(tmp_path: Path) -> None:
    (finding,) = about_workers(find_site("local"), tmp_path)
    assert finding.what.endswith("(threads) is not tried")


# -- the command


def test_the_command_tells_and_its_exit_code_says_whether_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["doctor"]) == 0
    out = capfd.readouterr().out.splitlines()
    assert out[0].startswith("ok    python           ")
    assert out[-1] == "all is well"
    commands(tmp_path / "bin", qsub="", qstat="")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    assert run_command(["doctor", "--site", "polaris-login"]) == 1
    out = capfd.readouterr().out.splitlines()
    place = out.index("fail  scheduler        qdel of PBS not on PATH")
    assert out[place + 1] == "      mend:            log in to a machine that has PBS"
    assert out[-1].startswith("1 to mend, ")
    assert run_command(["doctor", "--site", "polaris-login", "--json"]) == 1
    document = json.loads(capfd.readouterr().out)
    assert (document["site"], document["healthy"]) == ("polaris-login", False)
    assert {
        "check": "scheduler",
        "level": "fail",
        "what": "qdel of PBS not on PATH",
        "mend": "log in to a machine that has PBS",
    } in document["findings"]
    assert run_command(["doctor", "--site", "nowhere"]) == 2
