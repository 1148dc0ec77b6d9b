"""The script of a batch job that drives a run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from metis_flow._version import __version__
from metis_flow.errors import ConfigError
from metis_flow.record.folder import RunFolder
from metis_flow.sites.config import SiteConfig, list_sites
from metis_flow.sites.executors import BlockConfig, HtexConfig, MpiConfig, Scheduler
from metis_flow.sites.providers import clock
from metis_flow.sites.worker_init import default_worker_init, environment_lines

_PLACES = ("XDG_CONFIG_HOME",)
"""Variables that say where a user's files are, and that PBS does not pass on."""


@dataclass(frozen=True)
class JobRequest:
    """What is asked of the scheduler.

    Attributes:
        account, queue, filesystems: None where the scheduler's own choice will do.
        nodes: whole ones.
        walltime: seconds.
        chunk: what PBS is asked for on each node, such as ``ncpus=32:ngpus=4``.
        lines: further lines of the site's own for the top of the script.
    """

    scheduler: Scheduler
    name: str
    account: str | None
    queue: str | None
    nodes: int
    walltime: float
    filesystems: str | None
    chunk: str = ""
    lines: str = ""


def job_request(site: SiteConfig, name: str) -> JobRequest:
    """What a site's settings mean for a job that drives a run.

    Raises:
        ConfigError: the site has no scheduler, is for login nodes, or lacks nodes or walltime.
    """
    if site.scheduler is None:
        raise ConfigError(
            f"the site '{site.name}' has no scheduler to send a job to",
            where=str(site.source),
            hint="run the workflow here: metis-flow run FILE; or choose a site with one: metis-flow sites",
        )
    work = site.work[1]
    if isinstance(work, HtexConfig | MpiConfig) and work.provider not in ("local", "auto"):
        raise ConfigError(
            f"the site '{site.name}' sends jobs of its own from a login node; a job that runs all of the workflow "
            "needs a site for the inside of an allocation",
            where=str(site.source),
            hint=f"{_inside_of(site)}; or type here: metis-flow run FILE --site {site.name}",
        )
    if site.nodes is None:
        raise ConfigError("the job's nodes are not given", where=str(site.source), hint="add --nodes N")
    if site.walltime is None:
        raise ConfigError("the job's walltime is not given", where=str(site.source), hint="add --walltime H:MM:SS")
    block = work if isinstance(work, HtexConfig | MpiConfig) else None
    return JobRequest(
        scheduler=site.scheduler,
        name=_job_name(name),
        account=site.account,
        queue=site.queue,
        nodes=site.nodes,
        walltime=site.walltime,
        filesystems=site.filesystems,
        chunk=_chunk(block),
        lines=block.scheduler_options.strip("\n") if block else "",
    )


def _inside_of(site: SiteConfig) -> str:
    """What to say of the site for the inside of allocations where this one is for login nodes."""
    names = [other.name for other in list_sites(beside=site.source.parent) if other.login_site == site.name]
    return f"name that one: --site {' or '.join(names)}" if names else "name that one"


def _job_name(name: str) -> str:
    """Schedulers want a letter first, and PBS takes no blanks."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    return plain if plain[:1].isalpha() else f"run-{plain}"


def _chunk(block: BlockConfig | None) -> str:
    if block is None:
        return ""
    cpus = [f"ncpus={block.cpus_per_node}"] if block.cpus_per_node else []
    return ":".join([*cpus, *filter(None, [block.select_options.strip(":")])])


def job_script(request: JobRequest, site: SiteConfig, folder: RunFolder, *, chained: bool) -> str:
    """The text of the script.

    It enters this process's environment again and goes on with the run, in the folder in which this process is.

    Args:
        folder: the run.
        chained: whether it sends the next job when the walltime stops the run.

    Raises:
        ConfigError: metis-flow itself cannot be found.
    """
    program = shlex.quote(metis_flow_program())
    lines = ["#!/bin/bash", *_directives(request, folder), *filter(None, [request.lines]), ""]
    lines += [
        f"# Made by metis-flow {__version__}: goes on with one run, until that ends or shortly before the job does."
    ]
    lines += _entering(request, site, folder)
    lines += ["", *(_with_chain(program) if chained else [f'exec {program} resume "$run"'])]
    return "\n".join(lines) + "\n"


def metis_flow_program() -> str:
    """The full path of the command, so that the job needs no activated environment.

    Raises:
        ConfigError: it is not there.
    """
    beside = Path(sys.executable).parent / "metis-flow"
    found = str(beside) if beside.is_file() else shutil.which("metis-flow")
    if found is None:
        raise ConfigError(f"the command metis-flow is not beside {sys.executable}", hint="install metis-flow again")
    return found


def _directives(request: JobRequest, folder: RunFolder) -> Iterator[str]:
    if request.scheduler == "pbs":
        yield from _pbs(request, folder)
    else:
        yield from _slurm(request, folder)


def _pbs(request: JobRequest, folder: RunFolder) -> Iterator[str]:
    yield f"#PBS -N {request.name}"
    if request.account is not None:
        yield f"#PBS -A {request.account}"
    if request.queue is not None:
        yield f"#PBS -q {request.queue}"
    yield f"#PBS -l select={request.nodes}{':' if request.chunk else ''}{request.chunk}"
    yield "#PBS -l place=scatter"  # without it several chunks may come to lie on one node
    yield f"#PBS -l walltime={clock(request.walltime)}"
    if request.filesystems is not None:
        yield f"#PBS -l filesystems={request.filesystems}"
    yield "#PBS -r y"  # started anew after a preemption, it goes on with the run
    yield "#PBS -j oe"
    yield f"#PBS -o {shlex.quote(f'{folder.path}/job/')}"


def _slurm(request: JobRequest, folder: RunFolder) -> Iterator[str]:
    yield f"#SBATCH --job-name={request.name}"
    if request.account is not None:
        yield f"#SBATCH --account={request.account}"
    if request.queue is not None:
        yield f"#SBATCH --partition={request.queue}"
    yield f"#SBATCH --nodes={request.nodes}"
    yield "#SBATCH --exclusive"
    yield f"#SBATCH --time={clock(request.walltime)}"
    yield "#SBATCH --requeue"
    yield f"#SBATCH --output={shlex.quote(f'{folder.path}/job/%j.out')}"


def _entering(request: JobRequest, site: SiteConfig, folder: RunFolder) -> Iterator[str]:
    """The run, a log that can be read while the job runs, and this process's environment."""
    job = "$PBS_JOBID" if request.scheduler == "pbs" else "$SLURM_JOB_ID"
    yield f"run={shlex.quote(str(folder.path))}"
    yield f'log="$run/job/{job}.log"'
    yield "# A job that was killed and is started anew: the run counts it as its driver for a minute."
    yield '[ -e "$log" ] && sleep 60'
    yield '(umask 077; : >> "$log") && exec >> "$log" 2>&1'
    yield f"cd {shlex.quote(os.getcwd())} || exit 1"
    yield default_worker_init()
    yield from environment_lines(site.environment)
    yield from places(os.environ)


def places(environ: Mapping[str, str]) -> Iterator[str]:
    """Lines that tell the job where the user's own files are."""
    for name in _PLACES:
        if environ.get(name):
            yield f"export {name}={shlex.quote(environ[name])}"


def _with_chain(program: str) -> Iterator[str]:
    """Sends the next job after a stop by the walltime (exit code 5), and only then: not where the job is taken away."""
    yield "ended="
    yield "trap 'ended=yes; kill -TERM \"$driver\"' TERM"
    yield f'{program} resume "$run" &'
    yield "driver=$!"
    yield 'wait "$driver"; code=$?'
    yield '[ -z "$ended" ] || { wait "$driver"; code=$?; }'
    yield 'if [ "$code" = 5 ] && [ -z "$ended" ]; then'
    yield f'    {program} submit "$run" --next'
    yield "fi"
    yield 'exit "$code"'
