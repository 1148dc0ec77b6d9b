"""A run that waits for its batch job."""

from __future__ import annotations

from typing import Any, TextIO

from metis_flow.record.folder import RunFolder
from metis_flow.record.jobs import SentJob, job_log, sent_jobs
from metis_flow.sites.executors import Scheduler
from metis_flow.sites.schedulers import JobLook, look_at
from metis_flow.views.progress_words import labelled
from metis_flow.views.safe_text import one_line
from metis_flow.views.values import near

LOG_LINES = 8


def print_job(folder: RunFolder, out: TextIO) -> None:
    """How the last job that was sent stands, as the scheduler tells now; the end of its log if it is over."""
    job = sent_jobs(folder)[-1]
    look = _look(job)
    out.write(f"{labelled('job', f'{one_line(job.id)}: {words(look)}')}\n")
    log = job_log(folder, job.id)
    if look.state == "ended":
        out.write(f"{labelled('log', near(log))}\n")
        out.writelines(f"    {one_line(line)}\n" for line in _tail(folder, job))


def words(look: JobLook) -> str:
    """How a job stands, in a few words."""
    if look.state == "ended":
        how = f" ({one_line(look.words)})" if look.words else ""
        return f"has ended{how}, and the run did not begin"
    if look.state == "unknown":
        return f"the scheduler cannot be asked: {one_line(look.words)}"
    why = f": {one_line(look.words)}" if look.words else ""
    return f"{look.state}{why}" + ("; take it back and ask for less" if look.hopeless else "")


def job_as_json(folder: RunFolder) -> dict[str, Any]:
    """The same for a document."""
    job = sent_jobs(folder)[-1]
    look = _look(job)
    return {"id": job.id, "state": look.state, "words": look.words, "log": str(job_log(folder, job.id))}


def _look(job: SentJob) -> JobLook:
    scheduler: Scheduler = "pbs" if job.scheduler == "pbs" else "slurm"
    return look_at(scheduler, job.id)


def _tail(folder: RunFolder, job: SentJob) -> list[str]:
    try:
        text = job_log(folder, job.id).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ["there is none: the job ended before its first line"]
    return text.splitlines()[-LOG_LINES:]
