"""``metis-flow submit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.naming import run_name
from metis_flow.cli.options import (
    endpoint_option,
    given_parameters,
    json_option,
    limit_option,
    parameter_options,
    part_of,
    part_options,
    runs_dir_option,
    settings_option,
    site_option,
)

if TYPE_CHECKING:
    from metis_flow.engine.submitting import JobPlan
    from metis_flow.record.folder import RunFolder
    from metis_flow.record.jobs import SentJob


@click.command("submit")
@click.argument("what", metavar="FILE|RUN")
@parameter_options
@endpoint_option
@site_option
@click.option("--account", metavar="PROJECT", help="Who pays for the job.")
@click.option("--queue", metavar="QUEUE", help="The queue or partition.")
@click.option("--nodes", metavar="N", type=click.IntRange(min=1), help="How many nodes.")
@click.option("--walltime", metavar="H:MM:SS", help="How long the job may take.")
@settings_option
@limit_option
@part_options
@click.option(
    "--continue", "chained", is_flag=True, help="When the walltime stops the run, send a job that resumes it."
)
@click.option("--jobs", metavar="N", type=click.IntRange(min=2), help="With --continue: so many jobs at most.  [10]")
@click.option("--dry-run", is_flag=True, help="Show the job script; write and send nothing.")
@click.option("--next", "follows", is_flag=True, hidden=True)
@runs_dir_option
@json_option
def command(
    what: str,
    assignments: tuple[str, ...],
    params_file: Path | None,
    endpoint: str | None,
    site: str | None,
    account: str | None,
    queue: str | None,
    nodes: int | None,
    walltime: str | None,
    settings: tuple[str, ...],
    limit: int | None,
    only: str | None,
    start: str | None,
    until: str | None,
    force: tuple[str, ...],
    no_cache: bool,
    chained: bool,
    jobs: int | None,
    dry_run: bool,
    follows: bool,
    runs_dir: Path,
    as_json: bool,
) -> None:
    """Send a batch job that runs a workflow FILE.

    The job runs all of it on its own nodes: name a site for the inside of an allocation, such as `polaris`. The record
    is made at once, and `metis-flow status` follows the run from here.

    With a RUN that was made so, the same job is sent again; it resumes the run.
    """
    if not Path(what).is_file() and not what.endswith((".yaml", ".yml")):
        _send_again(what, runs_dir, follows=follows, as_json=as_json)
        return
    from metis_flow.plan.plan import load_plan

    plan = load_plan(what, given_parameters(assignments, params_file), limit=limit)

    from metis_flow.engine.options import RunOptions
    from metis_flow.engine.submitting import plan_job

    asked = {"account": account, "queue": queue, "nodes": nodes, "walltime": walltime}
    options = RunOptions(
        endpoint=endpoint,
        site=site,
        settings=(*settings, *(f"{name}={value}" for name, value in asked.items() if value is not None)),
        runs_dir=runs_dir,
        cache=not no_cache,
        forced=frozenset(force),
        selection=part_of(only, start, until),
    )
    job = plan_job(plan, options, chain=_chain(chained, jobs))
    for remark in job.remarks:
        click.echo(f"note: {remark}", err=True)
    if dry_run:
        _show(job, as_json=as_json)
        return
    folder, sent = job.send()
    _tell(folder, sent, runs_dir, as_json=as_json)


def _chain(chained: bool, jobs: int | None) -> int:
    from metis_flow.sites.submission import DEFAULT_CHAIN

    if jobs is not None and not chained:
        raise click.UsageError("--jobs needs --continue")
    return (jobs or DEFAULT_CHAIN) if chained else 1


def _show(job: JobPlan, *, as_json: bool) -> None:
    script = job.script()
    if as_json:
        scheduler = job.request.scheduler
        print_document({"run": None, "job": None, "scheduler": scheduler, "script": script, "notes": job.remarks})
    else:
        click.echo(script, nl=False)


def _send_again(ref: str, runs_dir: Path, *, follows: bool, as_json: bool) -> None:
    from metis_flow.record.folder import find_run
    from metis_flow.sites.submission import send_job

    folder = find_run(ref, runs_dir)
    _tell(folder, send_job(folder, follows=follows), runs_dir, as_json=as_json)


def _tell(folder: RunFolder, sent: SentJob, runs_dir: Path, *, as_json: bool) -> None:
    from metis_flow.record.jobs import SCRIPT, job_log
    from metis_flow.views.values import near

    log = job_log(folder, sent.id)
    if as_json:
        document = {
            "run": folder.id,
            "job": sent.id,
            "scheduler": sent.scheduler,
            "script": str(folder.path / SCRIPT),
            "log": str(log),
            "record": str(folder.path),
        }
        print_document(document)
        return
    click.echo(f"run:    {folder.id}")
    click.echo(f"job:    {sent.id}")
    click.echo(f"script: {near(folder.path / SCRIPT)}")
    click.echo(f"next: metis-flow status {run_name(folder, runs_dir)}")
    click.echo(f"next: tail -f {near(log)}")
