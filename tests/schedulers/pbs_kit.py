"""A cluster with stand-ins for PBS on PATH; what they do stands in pbs_commands.py."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pbs_commands

COMMANDS = ("qsub", "qstat", "qdel", "mpiexec")
SYSTEM = "/usr/bin:/bin"


@dataclass
class Pbs:
    """A cluster.

    Attributes:
        folder: its whole state; short, since jobs make sockets near it.
        hosts: names of its nodes.
        settings: what differs from the usual: ``queues``, ``accounts``, ``wait`` (seconds in the queue), ``longest``
            (seconds of walltime that a job may ask for), ``kill_delay`` (between SIGTERM and SIGKILL).
    """

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="pbs-", dir="/tmp")))
    hosts: tuple[str, ...] = ("x1", "x2")
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def home(self) -> Path:
        """The home folder of jobs."""
        return self.folder / "home"

    @property
    def path(self) -> str:
        """PATH of a login shell."""
        return f"{self.bin}:{SYSTEM}"

    def set_up(self) -> None:
        for folder in (self.bin, self.home, self.folder / "jobs"):
            folder.mkdir()
        settings = {
            "hosts": list(self.hosts),
            "home": str(self.home),
            "path": self.path,
            "queues": ["debug", "prod", "preemptable"],
            "accounts": ["trial"],
            "ncpus": 64,
            "wait": 0,
            "longest": 3600,
            "kill_delay": 3,
        }
        (self.folder / "cluster.json").write_text(json.dumps(settings | self.settings))
        # a login shell reads /etc/profile, which sets PATH anew
        (self.home / ".profile").write_text(f"export PATH={self.path}\n")
        for name in COMMANDS:
            path = self.bin / name
            path.write_text(f'#!/bin/sh\nexec {sys.executable} {pbs_commands.__file__} {self.folder} {name} "$@"\n')
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        """One of the commands, to its end."""
        name, *words = command
        return subprocess.run(
            [str(self.bin / name), *words], cwd=self.folder, capture_output=True, text=True, timeout=30, check=False
        )

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """What happened, oldest first: ``queued``, ``started``, ``mpiexec``, ``deleted``, ``ending``, ``ended``."""
        path = self.folder / "log.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if event in (None, line["event"])]

    def states(self) -> dict[str, str]:
        """The state of each job by its id."""
        jobs = [json.loads(path.read_text()) for path in self.folder.glob("jobs/*/job.json")]
        return {job["id"]: job["state"] for job in sorted(jobs, key=lambda job: int(job["id"].split(".")[0]))}

    def output(self, job: str) -> str:
        """What a job has written so far."""
        folder = self.folder / "jobs" / job.split(".")[0]
        return "".join((folder / name).read_text() for name in ("out", "err") if (folder / name).exists())

    def stop(self) -> None:
        """End every job, and what watches over it."""
        for _ in range(3):  # a job that is ended may just have sent another one
            for path in self.folder.glob("jobs/*/job.json"):
                job = json.loads(path.read_text())
                if job["state"] == "F" and job.get("stopped"):
                    continue
                with contextlib.suppress(ProcessLookupError, KeyError):
                    os.kill(job["watcher"], signal.SIGKILL)
                pbs_commands.signal_all(job["id"], signal.SIGKILL)
                path.write_text(json.dumps(job | {"state": "F", "stopped": True}))
            time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)
