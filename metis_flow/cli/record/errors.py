"""``metis-flow errors``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from metis_flow.cli.documents import print_document, reader_may_leave
from metis_flow.cli.naming import run_name
from metis_flow.cli.options import json_option, run_argument, runs_dir_option


@click.command("errors")
@run_argument
@runs_dir_option
@json_option
def command(ref: str, runs_dir: Path, as_json: bool) -> None:
    """Show what failed in a RUN, failures of the same cause together.

    Each cause comes with how many instances it struck, one of them in full, and the command that shows it. What failed
    or was skipped only because of these is told by the step where it began.
    """
    from metis_flow.record.folder import find_run
    from metis_flow.record.state import read_instances
    from metis_flow.views.failures import find_failures
    from metis_flow.views.failures_text import print_failures

    folder = find_run(ref, runs_dir)
    failures = find_failures(read_instances(folder))
    if as_json:
        errors = [group.as_json() for group in failures.groups]
        consequences = [found.as_json() for found in failures.consequences]
        print_document({"run": folder.id, "count": failures.count, "errors": errors, "consequences": consequences})
    elif failures.groups:
        with reader_may_leave():
            print_failures(failures, folder, sys.stdout, name=run_name(folder, runs_dir))
    else:
        click.echo(f"nothing failed in {folder.id}")
