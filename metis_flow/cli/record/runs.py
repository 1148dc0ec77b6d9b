"""``metis-flow runs``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.options import json_option, runs_dir_option


@click.command("runs")
@runs_dir_option
@json_option
def command(runs_dir: Path, as_json: bool) -> None:
    """List the runs, the newest first."""
    from metis_flow.errors import RecordError
    from metis_flow.record.folder import list_runs
    from metis_flow.record.state import RunState
    from metis_flow.views.run_state import print_runs, state_as_json

    states = []
    for folder in list_runs(runs_dir):
        try:
            states.append(RunState.read(folder))
        except RecordError as error:  # one damaged record does not hide the others
            states.append(RunState(folder.id, folder.name, str(folder.path), status="unreadable", reason=str(error)))
    if as_json:
        print_document({"runs": [state_as_json(state) for state in states]})
    elif states:
        print_runs(states, sys.stdout)
    else:
        click.echo(f"there is no run in {runs_dir}; start one: metis-flow run FILE", err=True)
