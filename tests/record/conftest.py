"""A run folder to write into, and entries as the engine writes them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metis_flow.record.folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", "survey")


@pytest.fixture
def done() -> Callable[..., dict[str, Any]]:
    """A ``done`` entry with a call in it: ``done("extract", "a", output=1)``."""

    def entry(step: str, key: str | None = None, **more: Any) -> dict[str, Any]:
        usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
        call = {"n": 1, "model": "m", "text": "yes", "finish": "stop", "usage": usage, "seconds": 0.5}
        address = step if key is None else f"{step}@{key}"
        return {"e": "done", "step": step, "key": key, "address": address, "index": 0, "call": call} | more

    return entry


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python processes with a script and arguments; those that still live at the end are killed by pid."""
    processes: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], None]:
    """Wait for something to become true; give up after a long while."""

    def wait(condition: Callable[[], object]) -> None:
        end = time.monotonic() + 60
        while not condition():
            if time.monotonic() > end:
                raise AssertionError("it never became true")
            time.sleep(0.01)

    return wait


@pytest.fixture
def small_files() -> Iterator[Callable[[int | None], None]]:
    """Let no file of this process grow above so many bytes: writing then fails half-way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)
    signal.signal(signal.SIGXFSZ, handler)
