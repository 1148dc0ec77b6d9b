"""``metis-flow resume``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from metis_flow.cli.options import json_option, run_argument, runs_dir_option
from metis_flow.cli.running.choices import Choices, choice_options, run_options

if TYPE_CHECKING:
    from typing_extensions import Unpack


@click.command("resume")
@run_argument
@click.option("--failed", is_flag=True, help="Run failed instances again, and what depends on them.")
@click.option("--accept", is_flag=True, help="Go on although the workflow has changed since.")
@choice_options
@runs_dir_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    ref: str,
    failed: bool,
    accept: bool,
    runs_dir: Path,
    as_json: bool,
    **choices: Unpack[Choices],
) -> None:
    """Go on with a RUN that was stopped, paused or killed.

    What was answered is not asked again. Endpoint and site are those that the run had. A run that has ended is not
    touched without --failed or --force; its outputs are printed. Where the workflow has changed, it says what that
    affects, and asks for --accept.
    """
    from metis_flow.record.folder import find_run

    folder = find_run(ref, runs_dir)

    from metis_flow.cli.running.driving import OnStart, drive_and_tell
    from metis_flow.engine.resume import resume_run
    from metis_flow.record.state import RunState

    def drive(on_start: OnStart) -> RunState:
        options = run_options(choices, on_start=on_start)
        return resume_run(folder, options, failed=failed, accept=accept)

    context.exit(drive_and_tell(drive, runs_dir, as_json=as_json))
