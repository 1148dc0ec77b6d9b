"""Batch jobs that were sent to drive a run: the folder ``job/`` of its record.

``job/script.sh`` is the job script, ``job/settings.json`` what it was made for, ``job/<id>.log`` what each job said,
and ``job/sent.jsonl`` holds a line for each job that was sent.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metis_flow.errors import RecordError
from metis_flow.record import files
from metis_flow.record.folder import RunFolder

SCRIPT = "job/script.sh"
SETTINGS = "job/settings.json"
_SENT = "job/sent.jsonl"


@dataclass(frozen=True)
class JobSettings:
    """What the jobs of a run are made for.

    Attributes:
        scheduler: ``pbs`` or ``slurm``.
        site: the site's name.
        queue: None for the scheduler's own choice.
        chain: how many jobs may drive the run one after the other, until the user sends it again.
    """

    scheduler: str
    site: str
    queue: str | None
    chain: int


@dataclass(frozen=True)
class SentJob:
    """One job that was sent.

    Attributes:
        id: the scheduler's.
        scheduler: ``pbs`` or ``slurm``.
        number: its place in the chain, from 1.
        ended: instances of the run that had ended by then.
        t: unix seconds.
    """

    id: str
    scheduler: str
    number: int
    ended: int
    t: float


def write_settings(folder: RunFolder, settings: JobSettings) -> None:
    folder.write_json(SETTINGS, asdict(settings))


def read_settings(folder: RunFolder) -> JobSettings | None:
    """What the jobs of a run are made for; None where none was ever made.

    Raises:
        RecordError: the file is damaged.
    """
    if not (folder.path / SETTINGS).exists():
        return None
    try:
        return JobSettings(**folder.read_json(SETTINGS))
    except TypeError:
        raise RecordError("the file is damaged", where=str(folder.path / SETTINGS)) from None


def add_job(folder: RunFolder, job: str, scheduler: str, *, number: int, ended: int) -> SentJob:
    """Write down that a job was sent."""
    sent = SentJob(job, scheduler, number, ended, time.time())
    path = folder.inside(_SENT)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps(asdict(sent)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return sent


def sent_jobs(folder: RunFolder) -> list[SentJob]:
    """The jobs that were sent for a run, oldest first. A line that is torn or damaged is left out."""
    try:
        with files.open_plain(folder.inside(_SENT)) as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    return [job for job in map(_sent, lines) if job is not None]


def _sent(line: bytes) -> SentJob | None:
    try:
        data: dict[str, Any] = json.loads(line)
        return SentJob(**data)
    except (ValueError, TypeError):
        return None


def job_log(folder: RunFolder, job: str) -> Path:
    """Where a job writes what it says."""
    return folder.path / "job" / f"{job}.log"
