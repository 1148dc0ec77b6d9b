"""``metis-flow resume``."""

from __future__ import annotations

from pathlib import Path

import click

from metis_flow.cli.options import (
    endpoint_option,
    json_option,
    part_of,
    part_options,
    run_argument,
    runs_dir_option,
    settings_option,
    site_option,
    time_limit_of,
    time_limit_option,
    wait_option,
    waiting,
)


@click.command("resume")
@run_argument
@click.option("--failed", is_flag=True, help="Run failed instances again, and what depends on them.")
@click.option("--accept", is_flag=True, help="Go on although the workflow has changed since.")
@endpoint_option
@site_option
@settings_option
@part_options
@wait_option
@time_limit_option
@runs_dir_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    ref: str,
    failed: bool,
    accept: bool,
    endpoint: str | None,
    site: str | None,
    settings: tuple[str, ...],
    only: str | None,
    start: str | None,
    until: str | None,
    force: tuple[str, ...],
    no_cache: bool,
    wait: str | None,
    time_limit: str | None,
    runs_dir: Path,
    as_json: bool,
) -> None:
    """Go on with a RUN that was stopped, paused or killed.

    What was answered is not asked again. Endpoint and site are those that the run had. A run that has ended is not
    touched; its outputs are printed. Where the workflow has changed, it says what that affects, and asks for --accept.
    """
    from metis_flow.record.folder import find_run

    seconds = time_limit_of(time_limit)
    folder = find_run(ref, runs_dir)

    from metis_flow.cli.running.driving import OnStart, drive_and_tell
    from metis_flow.engine.options import RunOptions
    from metis_flow.engine.resume import resume_run
    from metis_flow.record.state import RunState

    def drive(on_start: OnStart) -> RunState:
        options = RunOptions(
            endpoint=endpoint,
            site=site,
            settings=settings,
            wait=waiting(wait),
            on_start=on_start,
            handle_signals=True,
            time_limit=seconds,
            cache=not no_cache,
            forced=frozenset(force),
            selection=part_of(only, start, until),
        )
        return resume_run(folder, options, failed=failed, accept=accept)

    context.exit(drive_and_tell(drive, runs_dir, as_json=as_json))
