"""Sends batch jobs that drive a run."""

from __future__ import annotations

from urllib.parse import urlsplit

from metis_flow.errors import ConfigError, LoginRequired, RecordError
from metis_flow.inference.endpoints import EndpointConfig, is_loopback
from metis_flow.inference.refusals import LOGIN
from metis_flow.record.folder import RunFolder
from metis_flow.record.jobs import SCRIPT, JobSettings, SentJob, add_job, read_settings, sent_jobs, write_settings
from metis_flow.record.state import RunState
from metis_flow.sites.config import SiteConfig
from metis_flow.sites.job_script import JobRequest, job_script
from metis_flow.sites.schedulers import NAMES, SUBMIT_SECONDS, NoAnswer, ask
from metis_flow.units import format_duration

DEFAULT_CHAIN = 10
USUAL_WAIT = 12 * 3600.0
"""Seconds that a job may well wait in a queue; nobody can tell before."""


def write_job(folder: RunFolder, request: JobRequest, site: SiteConfig, *, chain: int) -> str:
    """Put the job script and what it was made for into the record; the script's text.

    Args:
        chain: how many jobs may drive the run one after the other.

    Raises:
        ConfigError: metis-flow itself cannot be found.
    """
    text = job_script(request, site, folder, chained=chain > 1)
    folder.write_bytes(SCRIPT, text.encode())
    write_settings(folder, JobSettings(request.scheduler, site.name, request.queue, chain))
    return text


def send_job(folder: RunFolder, *, follows: bool = False) -> SentJob:
    """Send a job for a run that has a job script, and write its id down.

    Args:
        follows: it goes on where the last job of the chain stopped; else a new chain begins.

    Raises:
        RecordError: the run has no job script, or the chain is through.
        ConfigError: the scheduler refuses the job, in its own words.
    """
    settings = read_settings(folder)
    if settings is None:
        raise RecordError(
            "no job was made for this run",
            where=folder.id,
            hint="`metis-flow submit FILE` makes runs with a job; `metis-flow resume` goes on with this one here",
        )
    state = RunState.read(folder)
    if state.status in ("running", "done", "failed"):
        raise RecordError(f"the run is {state.status}: there is nothing to send", where=folder.id)
    ended = sum(step.done + step.failed + step.skipped for step in state.steps.values())
    last = sent_jobs(folder)[-1:]
    number = last[0].number + 1 if follows and last else 1
    if follows and last:
        _refuse_more(folder, settings, last[0], ended)
    return add_job(folder, _send(folder, settings), settings.scheduler, number=number, ended=ended)


def _send(folder: RunFolder, settings: JobSettings) -> str:
    script = str(folder.path / SCRIPT)
    command = ["qsub", script] if settings.scheduler == "pbs" else ["sbatch", "--parsable", script]
    try:
        answer = ask(command, seconds=SUBMIT_SECONDS).strip()
    except NoAnswer as problem:
        raise _refusal(command[0], settings, problem) from None
    if not answer:
        raise ConfigError(f"{command[0]} gave no job id", hint=f"its queue shows whether there is one: {script}")
    return answer.splitlines()[-1].split(";")[0]


def _refusal(command: str, settings: JobSettings, problem: NoAnswer) -> ConfigError:
    if not problem.said:
        hint = "type this on a login node of the machine; 'metis-flow doctor --site NAME' checks what it needs"
        return ConfigError(f"the job cannot be sent: {problem}", hint=hint)
    queue = f"; the queue asked for is '{settings.queue}'" if settings.queue else ""
    return ConfigError(
        f"{command} refused the job{queue}",
        detail=problem.said,
        hint="change --account, --queue, --nodes, --walltime or --set filesystems=…, and submit again",
    )


def _refuse_more(folder: RunFolder, settings: JobSettings, last: SentJob, ended: int) -> None:
    """Raise where a further job of the chain would be one too many.

    Raises:
        RecordError: so many jobs were sent, or the last one made no headway.
    """
    if last.number >= settings.chain:
        raise RecordError(
            f"no further job is sent: {last.number} jobs have driven the run one after the other",
            where=folder.id,
            hint=f"to send as many again, type: metis-flow submit {folder.id}",
        )
    if ended <= last.ended:
        raise RecordError(
            "no further job is sent: the last one brought no instance to its end",
            where=folder.id,
            hint="an instance may take longer than the walltime: see `metis-flow status`, and submit for longer",
        )


def check_login(endpoint: EndpointConfig, request: JobRequest) -> str | None:
    """See whether the login will last until the job ends; a remark where that is not sure.

    Raises:
        LoginRequired: nobody is logged in, or the token cannot be renewed and ends before the job could.
    """
    if endpoint.auth.kind != "globus":
        return None
    from metis_flow.inference import login as logins

    found = logins.status()
    if not found.logged_in:
        raise LoginRequired("the run's calls need a login, and nobody is logged in", hint="type: metis-flow auth login")
    left, walltime = format_duration(found.seconds_left()), format_duration(request.walltime)
    if found.outlasts(USUAL_WAIT + request.walltime):
        return None
    if found.renewable:
        return (
            f"the token ends in {left}, and is renewed in the job: a login may end meanwhile, and then the run pauses"
        )
    if not found.outlasts(request.walltime):
        raise LoginRequired(
            f"the login ends in {left} and cannot be renewed, and the job may take {walltime}", hint=f"type: {LOGIN}"
        )
    return f"the login ends in {left} and cannot be renewed: the job may not wait long in the queue; or type: {LOGIN}"


def remarks(endpoint: EndpointConfig | None, request: JobRequest, secrets: list[str]) -> list[str]:
    """What may go wrong in a job though it works here.

    Args:
        secrets: variables that steps name under `secrets`.
    """
    found: list[str] = []
    if request.filesystems is None and request.scheduler == "pbs":
        found.append("no filesystems are asked for: ALCF refuses such jobs; say --set filesystems=home:eagle")
    variables = list(secrets)
    if endpoint is not None:
        variables += [endpoint.auth.variable] if endpoint.auth.kind == "env" and endpoint.auth.variable else []
        variables += [name for name in (endpoint.base_url_variable, endpoint.model_variable) if name]
        found += _loopback_remark(endpoint)
    if variables and request.scheduler == "pbs":
        found.append(
            f"{NAMES['pbs']} does not pass on the environment: the job gets {', '.join(dict.fromkeys(variables))} only "
            "from your login files, such as ~/.bash_profile"
        )
    return found


def _loopback_remark(endpoint: EndpointConfig) -> list[str]:
    host = urlsplit(endpoint.base_url or "").hostname
    if host is None or not is_loopback(host):
        return []
    return [f"the endpoint '{endpoint.name}' is on this machine ({host}), and the job runs on another"]
