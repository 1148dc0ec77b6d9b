"""The commands of a batch scheduler, and what it says about jobs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from metis_flow.sites.executors import Scheduler

ANSWER_SECONDS = 10.0
"""How long a question may take: a busy server must not hold a run up."""
SUBMIT_SECONDS = 120.0
NAMES: Mapping[Scheduler, str] = {"pbs": "PBS", "slurm": "Slurm"}
COMMANDS: Mapping[Scheduler, tuple[str, ...]] = {
    "pbs": ("qsub", "qstat", "qdel"),
    "slurm": ("sbatch", "squeue", "scancel", "srun", "scontrol"),
}
"""What metis-flow and Parsl call."""
JobState = Literal["queued", "running", "ended", "unknown"]
_PBS_STATES: Mapping[str, JobState] = {"R": "running", "B": "running", "E": "running", "F": "ended", "X": "ended"}
_SLURM_WAITS = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "RESV_DEL_HOLD", "SPECIAL_EXIT")
_SLURM_RUNS = ("RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "RESIZING", "STOPPED")
_NEVER = "Can Never Run"


class NoAnswer(Exception):
    """A scheduler's command did not help; the text says how.

    Args:
        said: the command's own words, as it wrote them.
    """

    def __init__(self, text: str, said: str = "") -> None:
        super().__init__(text)
        self.said = said


def ask(command: Sequence[str], environ: Mapping[str, str] | None = None, seconds: float | None = None) -> str:
    """What a scheduler's command prints.

    Args:
        environ: the environment to run it in, instead of this process's.
        seconds: how long it may take; `ANSWER_SECONDS` if None.

    Raises:
        NoAnswer: it is not there, takes too long, or fails.
    """
    name, limit = command[0], ANSWER_SECONDS if seconds is None else seconds
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=dict(os.environ if environ is None else environ),
            timeout=limit,
            check=False,
        )
    except FileNotFoundError:
        raise NoAnswer(f"{name} is not on PATH") from None
    except OSError as error:
        raise NoAnswer(f"{name} cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{name} did not answer within {limit:g} s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[:4000]
        raise NoAnswer(f"{name} failed: {one_line(said) or f'exit {done.returncode}'}", said)
    return done.stdout


def one_line(text: str) -> str:
    """The beginning of a scheduler's words, on one line."""
    return " ".join(text.split())[:200]


def pbs_job(answer: str) -> dict[str, Any]:
    """What ``qstat -f -F json`` says of one job.

    Raises:
        NoAnswer: that is not what this text is.
    """
    try:
        found = next(iter(json.loads(answer)["Jobs"].values()))
        if isinstance(found["Resource_List"], dict):
            return dict(found)
    except (ValueError, LookupError, AttributeError, TypeError, StopIteration):
        pass
    raise NoAnswer(f"the answer of qstat is not that of a job: {one_line(answer)}") from None


@dataclass(frozen=True)
class JobLook:
    """How a job stands.

    Attributes:
        state: `unknown` where the scheduler could not be asked.
        words: what it says about that: why the job waits, how it ended; None where it says nothing.
        hopeless: whether it waits for what can never be had.
    """

    state: JobState
    words: str | None = None
    hopeless: bool = False


def look_at(scheduler: Scheduler, job: str) -> JobLook:
    """How a job stands now, as the scheduler tells. Never raises for one that does not answer."""
    try:
        return _look_pbs(job) if scheduler == "pbs" else _look_slurm(job)
    except NoAnswer as problem:
        return JobLook("unknown", str(problem))


def _look_pbs(job: str) -> JobLook:
    found = pbs_job(ask(["qstat", "-x", "-f", "-F", "json", job]))
    state = _PBS_STATES.get(str(found.get("job_state")), "queued")
    if state == "ended":
        return JobLook(state, f"exit status {found.get('Exit_status')}")
    words = str(found["comment"]) if found.get("comment") else None
    return JobLook(state, words if state == "queued" else None, hopeless=_NEVER in (words or ""))


def _look_slurm(job: str) -> JobLook:
    try:
        words = ask(["squeue", "-h", "-t", "all", "-j", job, "-o", "%T|%r"]).strip().splitlines()
    except NoAnswer as problem:
        if "Invalid job id" not in problem.said:
            raise
        words = []
    state, _, reason = words[0].partition("|") if words else ("", "", "")
    if state in _SLURM_WAITS:
        # a limit of the partition may be lifted by an administrator; until then such a job waits
        hopeless = reason in ("PartitionTimeLimit", "PartitionNodeLimit", "BadConstraints", "DependencyNeverSatisfied")
        return JobLook("queued", reason, hopeless=hopeless)
    return JobLook("running") if state in _SLURM_RUNS else JobLook("ended", state or None)
