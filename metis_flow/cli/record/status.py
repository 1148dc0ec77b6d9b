"""``metis-flow status``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metis_flow.cli.documents import print_document, reader_may_leave
from metis_flow.cli.naming import run_name
from metis_flow.cli.options import json_option, runs_dir_option
from metis_flow.errors import EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from metis_flow.record.folder import RunFolder
    from metis_flow.record.state import RunState


@click.command("status")
@click.argument("ref", metavar="[RUN]", default="last")
@click.option("--watch", is_flag=True, help="Follow the RUN until it ends; the exit code is then the run's own.")
@runs_dir_option
@json_option
@click.pass_context
def command(context: click.Context, ref: str, watch: bool, runs_dir: Path, as_json: bool) -> None:
    """Show how far a RUN is, also while it goes on.

    RUN is an id, the beginning of one, a path, or `last` for the newest, which is meant where no RUN is given. A run
    can be driven on another machine: all is read from its record.

    With --watch it shows what the run's own terminal shows, and ends with the run: with the run's exit code, or 1 if
    its driver died. Ctrl-C ends only the watching.
    """
    from metis_flow.record.folder import find_run
    from metis_flow.record.state import RunState

    folder = find_run(ref, runs_dir)
    if not watch:
        _tell(RunState.read(folder), folder, runs_dir, as_json=as_json)
        return
    from metis_flow.views.progress import progress_view
    from metis_flow.views.watching import watch_run

    try:
        state = watch_run(folder, progress_view(sys.stderr, os.environ))
    except KeyboardInterrupt:
        click.echo(f"the run goes on; see it again: metis-flow status {run_name(folder, runs_dir)} --watch", err=True)
        context.exit(EXIT_INTERRUPTED)
    _tell(state, folder, runs_dir, as_json=as_json)
    context.exit(EXIT_FAILED if state.exit_code is None else state.exit_code)


def _tell(state: RunState, folder: RunFolder, runs_dir: Path, *, as_json: bool) -> None:
    from metis_flow.record.ownership import holder_of
    from metis_flow.views.run_end import next_steps
    from metis_flow.views.run_state import print_status, state_as_json
    from metis_flow.views.submitted import job_as_json, print_job

    if as_json:
        job = {"job": job_as_json(folder)} if state.status == "submitted" else {}
        print_document(state_as_json(state) | job)
        return
    with reader_may_leave():
        print_status(state, holder_of(folder), sys.stdout)
        if state.status == "submitted":
            print_job(folder, sys.stdout)
        for line in next_steps(state, run_name(folder, runs_dir)):
            click.echo(f"next: {line}")
