"""A user's folder on a cluster, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metis_flow.testing import Gateway

PROGRAM = str(Path(sys.executable).parent / "metis-flow")
PATIENCE = 90.0


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
    """Where a user works, by the full path of the command: the environment is not activated.

    Attributes:
        folder: the current folder of the commands; runs are in ``runs/``.
        started: commands that run, or have run.
    """

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def write(self, name: str, text: str) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def workflow(self, steps: str, head: str = "") -> Path:
        """``trial.yaml`` with these steps."""
        text = textwrap.indent(textwrap.dedent(steps), "  ")
        return self.write("trial.yaml", f"version: 1\nname: trial\n{textwrap.dedent(head)}\nsteps:\n{text}")

    def endpoint(self, gateway: Gateway) -> None:
        """The endpoint ``near``: the gateway, without rates."""
        gateway.write_endpoint(self.folder / "endpoints", "near", limits={"concurrency": 50})

    def start(self, *words: object, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A command that is not waited for."""
        process = subprocess.Popen(
            [PROGRAM, *map(str, words)],
            cwd=self.folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def __call__(self, *words: object, env: Mapping[str, str] | None = None) -> Ended:
        """A command, to its end."""
        process = self.start(*words, env=env)
        out, err = process.communicate(timeout=PATIENCE)
        return Ended(process.returncode, out, err)

    def close(self) -> None:
        """End what still runs, as after a test that failed."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def run_folder(self) -> Path:
        """The folder of the only run."""
        (folder,) = (self.folder / "runs").iterdir()
        return folder

    def logs(self) -> str:
        """What the jobs of the only run have said."""
        return "\n".join(f"== {path.name}\n{path.read_text()}" for path in sorted(self.run_folder().glob("job/*.log")))
