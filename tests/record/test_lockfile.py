"""lock.json: what a run was started with."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from metis_flow.errors import RecordError
from metis_flow.record.folder import RunFolder
from metis_flow.record.lockfile import GitState, RunLock, git_state, package_versions, read_lock, write_lock


@pytest.fixture
def lock(run: RunFolder) -> RunLock:
    return RunLock(
        run=run.id,
        workflow="/home/me/survey.yaml",
        parameters={"temperature": 0.2, "papers": "data/papers.jsonl", "odd": ["\ud800", None]},
        models={"extract": {"name": "gpt-oss-120b", "max_tokens": 1500}},
        endpoint="metis",
        site="local",
        tasks={"read_rows": "ab" * 32},
        sources={"survey.yaml": "cd" * 32},
        seeds={"extract": 7},
        options={"limit": 5},
        packages={"parsl": "2026.1.5"},
        git=GitState("ef" * 20, True),
    )


def test_a_lock_comes_back_as_it_was(run: RunFolder, lock: RunLock) -> None:
    write_lock(run, lock)
    assert read_lock(run) == lock
    assert json.loads(run.lock_file.read_text())["version"] == 1
    assert (lock.host, lock.python) == (socket.gethostname(), platform.python_version())


def test_a_lock_without_git_comes_back(run: RunFolder, lock: RunLock) -> None:
    bare = RunLock(**{name: getattr(lock, name) for name in vars(lock)} | {"git": None, "endpoint": None})
    write_lock(run, bare)
    assert read_lock(run) == bare


def test_a_newer_lock_is_refused(run: RunFolder, lock: RunLock) -> None:
    run.write_json("lock.json", lock.to_json() | {"version": 2})
    with pytest.raises(RecordError) as caught:
        read_lock(run)
    assert caught.value.render() == (
        f"{run.lock_file}: the lock has version 2, and this metis-flow reads up to 1\n"
        "  hint: use the metis-flow that started the run, or a newer one"
    )


def test_a_damaged_lock_is_named(run: RunFolder, lock: RunLock) -> None:
    with pytest.raises(RecordError, match=r"the run has no lock\.json"):
        read_lock(run)
    data = lock.to_json()
    run.write_json("lock.json", [data])
    with pytest.raises(RecordError) as caught:
        read_lock(run)
    assert str(caught.value) == f"{run.lock_file}: this is no lock of a run: it has no version"
    run.write_json("lock.json", {name: data[name] for name in data if name not in ("seeds", "git")})
    with pytest.raises(RecordError) as caught:
        read_lock(run)
    assert str(caught.value) == f"{run.lock_file}: the lock is damaged: it lacks git, seeds"
    run.write_json("lock.json", data | {"extra": 1})
    with pytest.raises(RecordError) as caught:
        read_lock(run)
    assert str(caught.value) == f"{run.lock_file}: the lock is damaged: it has an unknown extra"


def test_installed_packages_have_versions_and_others_are_left_out() -> None:
    versions = package_versions(["pytest", "surely-not-installed"])
    assert versions == {"pytest": pytest.__version__}
    assert "aiohttp" in package_versions()


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_state_of_a_folder(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) == GitState(None, False)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "survey.yaml").write_text("version: 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "a" / "runs").mkdir()
    (tmp_path / "a" / "runs" / "new").write_text("a run that git does not know")
    assert git_state(tmp_path / "a") == GitState(commit, False)
    (tmp_path / "b" / "survey.yaml").write_text("version: 2\n")
    assert git_state(tmp_path / "a") == GitState(commit, False)
    assert git_state(tmp_path / "b") == GitState(commit, True)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_is_asked_about_the_folder_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, bare = tmp_path / "other", tmp_path / "bare"
    other.mkdir()
    bare.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert git_state(bare) is None


def test_git_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_repository_cannot_have_a_program_started(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    os.chmod(hook, 0o700)
    git(tmp_path, "config", "core.fsmonitor", str(hook))
    assert git_state(tmp_path) == GitState(None, False)
    assert not (tmp_path / "started").exists()
