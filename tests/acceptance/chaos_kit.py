"""What goes wrong around a run: a disk that fills up, answers that are held back, a journal that is cut."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from metis_flow.record.folder import RunFolder

PAGE = 4096


@dataclass(frozen=True)
class SmallDisk:
    """A file system of a megabyte or so.

    Args:
        path: where it is.
    """

    path: Path

    @property
    def _filler(self) -> Path:
        return self.path / "filler"

    def fill(self) -> None:
        """Leave no block."""
        with open(self._filler, "wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(PAGE))
        assert os.statvfs(self.path).f_bavail == 0

    def free(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    """A disk of its own for the block, made in memory.

    Args:
        size: as of ``mount -o size=``.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root; test_full_disk.py limits the size of files instead")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@dataclass
class Held:
    """A gateway's rule that answers as one does without a rule, some questions only once it is told to.

    Args:
        open: whether answers are given.
        only: hold back questions that contain this.
        asked: questions, in order.
    """

    only: str = ""
    open: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, body: dict[str, Any], n: int) -> str:
        question: str = body["messages"][-1]["content"]
        self.asked.append(question)
        while self.only in question and not self.open.is_set():
            await asyncio.sleep(0.01)
        return f"You said: {question}"


def last_segment(folder: RunFolder) -> Path:
    """The newest file of a run's journal."""
    return max(folder.journal.glob("*.jsonl"))


def copy_of(folder: RunFolder, runs_dir: Path, journal: bytes) -> RunFolder:
    """The run in a runs folder of its own, with other bytes as the newest file of its journal."""
    copy = RunFolder(runs_dir / folder.id)
    shutil.copytree(folder.path, copy.path, symlinks=True)
    segment = last_segment(copy)
    segment.write_bytes(journal)
    for derived in (segment.with_suffix(".index.json"), segment.with_suffix(".keys")):
        with suppress(FileNotFoundError):
            derived.unlink()
    return copy
