"""``metis-flow logs``."""

from __future__ import annotations

from pathlib import Path

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.options import json_option, run_argument, runs_dir_option


@click.command("logs")
@run_argument
@runs_dir_option
@json_option
def command(ref: str, runs_dir: Path, as_json: bool) -> None:
    """Print the journal of a RUN, a line for each event."""
    from metis_flow.record.folder import find_run
    from metis_flow.record.journal import read_journal
    from metis_flow.views.journal_lines import journal_line

    folder = find_run(ref, runs_dir)
    entries = read_journal(folder.journal)
    if as_json:
        print_document({"run": folder.id, "entries": list(entries)})
        return
    for entry in entries:
        click.echo(journal_line(entry))
