"""The endpoint's token during and after whole runs: in the record, the output, the process table, Parsl's own files.

A run of each kind of token goes on at the same time; while they do, everything that they leave is looked through.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from acceptance_kit import Desk, Ended, end_of, write_endpoint

from metis_flow.testing import Gateway

KINDS = ("globus", "env", "file", "command")
VARIABLE = "TRIAL_API_KEY"
BEACON = "metis-flow-beacon-7e1d"  # in the environment of every process of the runs, to see that they are looked at
WORKFLOW = """
version: 1
name: trial
model: gpt-oss-120b
steps:
  ask:
    foreach: ${{ range(3) }}
    chat: Question ${{ item }}?
    output: {answer: string}
    on_error: continue
  script:
    needs: [ask]
    run: |
      env
      ps -eo pid,args
      sleep 0.5
  broken:
    needs: [ask]
    foreach: ${{ range(2) }}
    args: ["${{ item }}"]
    run: |
      env >&2
      env
      exit "$1"
    on_error: continue
  function:
    needs: [script]
    python: looks:around
  again:
    foreach: ${{ range(2) }}
    needs: [function]
    chat: Once more, ${{ item }}?
"""
SITE = "executors: {processes: {kind: processes, workers: 1}}\n"
LOOKS = """
import os, subprocess, time

def around():
    time.sleep(0.5)
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True)
    return {"environment": dict(os.environ), "processes": processes.stdout}
"""


@dataclass
class Leak:
    """Where a secret was found."""

    where: str
    kind: str


@dataclass
class Watch:
    """Looks through the process table and the runs' folders, again and again, until it is stopped.

    Args:
        secrets: by kind.
        folder: of the runs.
        drivers: the processes whose user gave them the token in their environment.
    """

    secrets: dict[str, list[str]]
    folder: Path
    drivers: set[int]
    leaks: list[Leak] = field(default_factory=list)
    beacons: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.wait(0.2):
            self.look()

    def look(self) -> None:
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and int(process.name) != os.getpid():
                self._process(process)
        self.runs()

    def runs(self) -> None:
        """All files of the runs, Parsl's own among them while they are there."""
        for parent, _, names in os.walk(self.folder):  # which takes folders that go away meanwhile as they come
            for path in (Path(parent, name) for name in names):
                place = path.relative_to(self.folder)
                if "runs" in place.parts and path.is_file() and not path.is_symlink():
                    self.files.add(place.as_posix())
                    self.search(_read(path), str(path))

    def search(self, content: bytes, where: str) -> None:
        for kind, secrets in self.secrets.items():
            if any(secret.encode() in content for secret in secrets):
                self.leaks.append(Leak(where, kind))

    def _process(self, process: Path) -> None:
        words = _read(process / "cmdline")
        self.search(words, f"arguments of {words!r}")
        environment = _read(process / "environ")
        if BEACON.encode() in environment:
            self.beacons.add(words.replace(b"\0", b" ").decode(errors="replace"))
        if int(process.name) not in self.drivers:
            self.search(environment, f"environment of {words!r}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has gone
        return b""


@dataclass
class Seen:
    """What the runs left."""

    watch: Watch
    ended: dict[str, Ended]
    folder: Path
    gateway: Gateway


def auth_of(kind: str, folder: Path, token: str) -> dict[str, Any]:
    """The `auth` of an endpoint file; its secret lies outside of the run's folder."""
    secret = folder / "secrets" / kind
    secret.parent.mkdir(exist_ok=True)
    secret.write_text(token + "\n")
    fields: dict[str, dict[str, Any]] = {
        "globus": {},
        "env": {"variable": VARIABLE},
        "file": {"path": str(secret)},
        "command": {"command": ["cat", str(secret)]},
    }
    return {"kind": kind, **fields[kind]}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Four runs at the same time, with worker processes, looked at while they go on."""
    folder = tmp_path_factory.mktemp("secrecy")
    home = folder / "home"
    with Gateway(lambda body, n: '{"answer": "yes"}', limits=None, latency=0.05) as gateway:
        login = gateway.write_token_file(home)
        secrets: dict[str, list[str]] = {kind: [gateway.issue_token()] for kind in KINDS if kind != "globus"}
        secrets["globus"] = _tokens_in(login)
        watch = Watch(secrets, folder, set())
        commands = {}
        desks = []
        for kind in KINDS:
            desk = Desk(folder / kind, home)
            desks.append(desk)
            desk.write("trial.yaml", WORKFLOW)
            desk.write("looks.py", LOOKS)
            desk.write("workers.yaml", SITE)
            write_endpoint(gateway, desk.folder, auth=auth_of(kind, folder, secrets[kind][0]))
            (desk.folder / "near.token").unlink(missing_ok=True)
            environment = {"HOME": str(home), "BEACON": BEACON, "METIS_FLOW_DEBUG": "1", **gateway.environment()}
            if kind == "env":
                environment[VARIABLE] = secrets[kind][0]
            words = ("run", "trial.yaml", "--endpoint", "near.yaml", "--site", "workers.yaml", "--json")
            commands[kind] = desk.start(*words, env=environment)
            watch.drivers.add(commands[kind].pid)
        thread = threading.Thread(target=watch.run)
        thread.start()
        try:
            ended = {kind: end_of(command) for kind, command in commands.items()}
        finally:
            for desk in desks:
                desk.close()
            watch.stop.set()
            thread.join()
        watch.runs()
        yield Seen(watch, ended, folder, gateway)


def _tokens_in(path: Path) -> list[str]:
    """Access token and refresh token of a token file."""
    (entry,) = json.loads(path.read_text())["data"]["DEFAULT"].values()
    return [entry["access_token"], entry["refresh_token"]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_run_itself_went_well(seen: Seen, kind: str) -> None:
    ended = seen.ended[kind]
    assert ended.code == 0, ended.err
    steps = ended.document["steps"]
    assert {name: counts["done"] for name, counts in steps.items()} == {
        "ask": 3, "script": 1, "broken": 1, "function": 1, "again": 2,
    }  # fmt: skip
    assert seen.gateway.counts.kinds.get("401_inactive", 0) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_nowhere(seen: Seen, kind: str) -> None:
    found = [leak.where for leak in seen.watch.leaks if leak.kind == kind]
    assert found == []
    for secret in seen.watch.secrets[kind]:
        assert secret not in seen.ended[kind].out
        assert secret not in seen.ended[kind].err


def test_it_was_looked_for_in_the_right_places(seen: Seen) -> None:
    """Drivers, workers, scripts and functions; records, and Parsl's own files while they were there."""
    words = "\n".join(seen.watch.beacons)
    for part in ("metis_flow.cli run", "interchange.py", "process_worker_pool.py", "script.sh"):
        assert part in words
    names = {"/".join(name.split("/")[3:]) for name in seen.watch.files}
    assert {"journal/000001.jsonl", "lock.json", "workflow.yaml", "steps/script/instance/stdout"} <= names
    assert any(name.startswith("parsl/") for name in names)
    assert not list(seen.folder.glob("*/runs/*/parsl")), "they are gone after a clean end"
    kept = b"".join(_read(path) for path in seen.folder.glob("*/runs/*/steps/*/*/std*"))
    assert kept.count(f"BEACON={BEACON}".encode()) >= 3 * len(KINDS), "scripts did print their environment"


def test_a_leak_would_be_found(seen: Seen, tmp_path: Path) -> None:
    """The watch itself: in a file, in the arguments and in the environment of a process."""
    sleep = shutil.which("sleep") or "sleep"
    watch = Watch({"trial": ["hush-4711"]}, tmp_path, set())
    process = subprocess.Popen([sleep, "30"], env={"KEY": "hush-4711"})
    try:
        (tmp_path / "runs" / "r1").mkdir(parents=True)
        (tmp_path / "runs" / "r1" / "lock.json").write_text('{"token": "hush-4711"}')
        watch.look()
    finally:
        process.kill()
        process.wait()
    where = [leak.where for leak in watch.leaks]
    assert len(where) == 2
    assert any(str(tmp_path) in place for place in where)
    assert any(place.startswith("environment of") for place in where)
    watch.search(b"sleep\0hush-4711", "arguments")
    assert watch.leaks[-1].where == "arguments"
