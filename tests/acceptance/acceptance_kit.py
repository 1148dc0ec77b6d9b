"""A user's desk: a folder with a workflow, a home with a login, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks.whole_run import running_at
from metis_flow.api import Run
from metis_flow.cli import run_command
from metis_flow.record.journal import read_journal
from metis_flow.testing import Gateway

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = (sys.executable, "-m", "metis_flow.cli")
PATIENCE = 60.0
MODEL = "gpt-oss-120b"
LOGIN = "metis-flow auth login --force"
LOGOUT_PAGE = "https://app.globus.org/logout"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(frozen=True)
class Desk:
    """Where a user works.

    Attributes:
        folder: the current folder of the commands.
        home: the user's home.
        started: commands that run, or have run.
    """

    folder: Path
    home: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def write(self, name: str, text: str) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def workflow(self, steps: str, *, model: str | None = MODEL, head: str = "") -> Path:
        """``trial.yaml`` with these steps."""
        lines = ["version: 1", "name: trial", *([f"model: {model}"] if model else []), textwrap.dedent(head)]
        return self.write("trial.yaml", "\n".join(lines) + "\nsteps:\n" + textwrap.indent(textwrap.dedent(steps), "  "))

    def questions(self, count: int, **more: Any) -> Path:
        """``trial.yaml`` that asks so many questions, `q0` and on."""
        return self.workflow(
            f"""
            ask:
              foreach: ${{{{ range({count}) }}}}
              key: q${{{{ item }}}}
              chat: Question ${{{{ item }}}}?
            """,
            **more,
        )

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What the commands get: this process's own, with more."""
        return {**os.environ, "PYTHONPATH": str(ROOT), **(more or {})}

    def start(self, *words: object, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A command that is not waited for."""
        process = subprocess.Popen(
            [*COMMAND, *map(str, words)],
            cwd=self.folder,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def call(self, *words: object, env: Mapping[str, str] | None = None) -> Ended:
        """A command, to its end."""
        return end_of(self.start(*words, env=env))

    def close(self) -> None:
        """End what still runs, as after a test that failed."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            if not (process.stdout is None or process.stdout.closed):
                process.communicate()


class Here:
    """Runs commands in this process, which is quicker.

    Args:
        speed: of the clocks of its runs.
    """

    def __init__(self, capture: pytest.CaptureFixture[str], speed: float = 1.0) -> None:
        self._capture = capture
        self.speed = speed

    def __call__(self, *words: object) -> Ended:
        self._capture.readouterr()
        with running_at(self.speed):
            code = run_command([str(word) for word in words])
        out, err = self._capture.readouterr()
        return Ended(code, out, err)


def end_of(process: subprocess.Popen[str]) -> Ended:
    """How a command ends.

    Raises:
        TimeoutExpired: it takes too long.
    """
    out, err = process.communicate(timeout=PATIENCE)
    return Ended(process.returncode, out, err)


def write_endpoint(gateway: Gateway, folder: Path, name: str = "near", /, **fields: Any) -> Path:
    """An endpoint file for a gateway without rates."""
    return gateway.write_endpoint(folder, name, **{"limits": {"concurrency": 4}, **fields})


def recorded(run: Run, step: str = "ask") -> dict[str, str]:
    """The one answer that the journal holds for each key.

    Raises:
        AssertionError: it holds two for one.
    """
    done = [entry for entry in read_journal(run.folder.journal) if entry["e"] == "done" and entry["step"] == step]
    assert {key for key, times in Counter(entry["key"] for entry in done).items() if times > 1} == set()
    return {entry["key"]: entry["output"] for entry in done}


def answers(count: int) -> dict[str, str]:
    """What a gateway without a rule says to `Desk.questions`."""
    return {f"q{n}": f"You said: Question {n}?" for n in range(count)}
