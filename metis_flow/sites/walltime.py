"""How long the batch job around this process may still run, as PBS or Slurm tells it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from metis_flow.sites.schedulers import NoAnswer, ask, one_line, pbs_job

_STALE_SECONDS = 900.0
"""PBS brings a job's usage up to date every few minutes; one that lags behind its start by more is a clock's fault."""
_CLOCK = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d\d)(?:\.\d+)?")


@dataclass(frozen=True)
class Walltime:
    """The time limit of a batch job.

    Attributes:
        scheduler: ``PBS`` or ``Slurm``.
        job: its id.
        remaining: seconds until the scheduler ends the job, at the time of asking; None where it cannot be told.
        total: seconds that the job was given; None where it cannot be told.
        problem: why `remaining` is None.
    """

    scheduler: str
    job: str
    remaining: float | None = None
    total: float | None = None
    problem: str | None = None


def remaining_walltime(environ: Mapping[str, str] | None = None) -> Walltime | None:
    """The time limit of the job that this process runs in; None outside of a job.

    Asks the scheduler (for some seconds at most), except where Slurm gives the end in the job's environment.
    Never raises for a scheduler that does not answer: `Walltime.problem` says so.

    Args:
        environ: what to go by, instead of this process's environment.
    """
    environ = os.environ if environ is None else environ
    for scheduler, variable, tell in (("PBS", "PBS_JOBID", _ask_pbs), ("Slurm", "SLURM_JOB_ID", _ask_slurm)):
        job = environ.get(variable)
        if not job:
            continue
        try:
            remaining, total = tell(job, environ)
        except NoAnswer as problem:
            return Walltime(scheduler, job, problem=str(problem))
        if remaining is None:
            return Walltime(scheduler, job, problem="the job has no time limit")
        return Walltime(scheduler, job, remaining=max(remaining, 0.0), total=total)
    return None


def _ask_pbs(job: str, environ: Mapping[str, str]) -> tuple[float | None, float | None]:
    found = pbs_job(ask(["qstat", "-f", "-F", "json", job], environ))
    total, used = found["Resource_List"].get("walltime"), (found.get("resources_used") or {}).get("walltime", "0:00")
    if total is None:
        return None, None
    limit = _seconds(total)
    return limit - _pbs_elapsed(_seconds(used), found.get("stime")), limit


def _pbs_elapsed(used: float, started: object) -> float:
    """Seconds since the job's start. What PBS counts as used is minutes old; its start, in local time, is exact."""
    try:
        since = time.time() - time.mktime(time.strptime(str(started), "%a %b %d %H:%M:%S %Y"))
    except (ValueError, OverflowError):
        return used
    return since if used <= since <= used + _STALE_SECONDS else used


def _ask_slurm(job: str, environ: Mapping[str, str]) -> tuple[float | None, float | None]:
    start, end = environ.get("SLURM_JOB_START_TIME", ""), environ.get("SLURM_JOB_END_TIME", "")
    if end.isdigit():
        return int(end) - time.time(), float(int(end) - int(start)) if start.isdigit() else None
    words = ask(["squeue", "-h", "-j", job, "-o", "%L %l"], environ).split()
    if len(words) < 2:
        raise NoAnswer("squeue does not know the job")
    if words[0] in ("UNLIMITED", "NOT_SET"):
        return None, None
    if words[0] == "INVALID":  # a job that is over its time already
        return 0.0, _seconds(words[1])
    return _seconds(words[0]), _seconds(words[1])


def _seconds(text: str) -> float:
    """Seconds in ``[days-][hours:]minutes:seconds``, or in a bare number of seconds."""
    match = _CLOCK.fullmatch(str(text).strip())
    if match is None:
        try:
            return float(text)
        except (TypeError, ValueError):
            raise NoAnswer(f"the scheduler's time {one_line(str(text))!r} cannot be read") from None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
