"""``metis-flow status``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.naming import run_name
from metis_flow.cli.options import json_option, runs_dir_option


@click.command("status")
@click.argument("ref", metavar="[RUN]", default="last")
@runs_dir_option
@json_option
def command(ref: str, runs_dir: Path, as_json: bool) -> None:
    """Show how far a RUN is, also while it goes on.

    RUN is an id, the beginning of one, a path, or `last` for the newest, which is meant where no RUN is given.
    """
    from metis_flow.record.folder import find_run
    from metis_flow.record.state import RunState
    from metis_flow.views.run_end import next_steps
    from metis_flow.views.run_state import print_state, state_as_json

    folder = find_run(ref, runs_dir)
    state = RunState.read(folder)
    if as_json:
        print_document(state_as_json(state))
        return
    print_state(state, sys.stdout)
    for line in next_steps(state, folder, run_name(folder, runs_dir)):
        click.echo(f"next: {line}")
