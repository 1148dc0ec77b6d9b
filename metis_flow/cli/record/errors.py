"""``metis-flow errors``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.naming import run_name
from metis_flow.cli.options import json_option, run_argument, runs_dir_option


@click.command("errors")
@run_argument
@runs_dir_option
@json_option
def command(ref: str, runs_dir: Path, as_json: bool) -> None:
    """Show what failed in a RUN, equal failures together."""
    from metis_flow.record.folder import find_run
    from metis_flow.record.state import read_instances
    from metis_flow.views.failures import group_failures, print_failures

    folder = find_run(ref, runs_dir)
    failures = group_failures(read_instances(folder))
    if as_json:
        print_document({"run": folder.id, "errors": [failure.as_json() for failure in failures]})
    elif failures:
        print_failures(failures, sys.stdout, show=f"metis-flow show {run_name(folder, runs_dir)}")
    else:
        click.echo(f"nothing failed in {folder.id}")
