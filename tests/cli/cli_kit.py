"""Calls the command line as a user does: in a process, in this process, or on a terminal of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from metis_flow.cli import run_command
from metis_flow.testing import Gateway

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "-m", "metis_flow.cli"]
PATIENCE = 60.0


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on standard output; anything besides it is an error here."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass
class Cli:
    """Runs ``metis-flow`` in processes.

    Attributes:
        folder: the current folder of the commands.
    """

    folder: Path

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), **(more or {})}

    def __call__(self, *arguments: object, env: Mapping[str, str] | None = None) -> Ended:
        words = [*COMMAND, *map(str, arguments)]
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment(env), capture_output=True, text=True, timeout=PATIENCE
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """A command that is not waited for."""
        words = [*COMMAND, *map(str, arguments)]
        return subprocess.Popen(words, cwd=self.folder, env=self.environment(), text=True, **options)

    def write(self, name: str, text: str) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


@dataclass
class Here:
    """Runs commands in this process."""

    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object) -> Ended:
        self.capture.readouterr()
        code = run_command([str(argument) for argument in arguments])
        out, err = self.capture.readouterr()
        return Ended(code, out, err)


@dataclass
class Terminal:
    """A command on a terminal of its own.

    Attributes:
        seen: everything that it wrote so far.
    """

    process: subprocess.Popen[bytes]
    master: int
    seen: str = ""
    code: int | None = None
    frames: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, cli: Cli, *arguments: object, columns: int = 80, lines: int = 24) -> Terminal:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        words = [*COMMAND, *map(str, arguments)]
        process = subprocess.Popen(
            words,
            cwd=cli.folder,
            env=cli.environment(),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        return cls(process, master)

    def read_until(self, done: Callable[[str], bool] = lambda seen: False) -> str:
        """What was seen when this became true, or when the command ended."""
        end = time.monotonic() + PATIENCE
        while not done(self.seen):
            if time.monotonic() > end:
                self.process.kill()
                raise TimeoutError(self.seen)
            if not select.select([self.master], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self.master, 65536)
            except OSError:  # Linux says so where nobody has the other side open
                data = b""
            if not data:
                break
            self.seen += data.decode("utf-8", "replace")
        return self.seen

    def end(self) -> str:
        """Everything that was seen, once the command has ended."""
        self.read_until()
        self.code = self.process.wait(PATIENCE)
        os.close(self.master)
        return self.seen


ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)")


def without_escapes(text: str) -> str:
    """What a terminal shows, with frames one after the other."""
    return ESCAPE.sub("", text).replace("\r", "")


def write_endpoint(gateway: Gateway, folder: Path, name: str = "near", **fields: Any) -> Path:
    """An endpoint file beside the workflow: the gateway with a model and a token, without its rates."""
    fields = {"limits": {"concurrency": 8}, "model": "gpt-oss-120b", **fields}
    return gateway.write_endpoint(folder, name, **fields)
