"""``metis-flow report``."""

from __future__ import annotations

from pathlib import Path

import click

from metis_flow.cli.browsing import open_option, open_page
from metis_flow.cli.documents import print_document
from metis_flow.cli.options import json_option, run_argument, runs_dir_option


@click.command("report")
@run_argument
@click.option("-o", "--output", "file", type=click.Path(path_type=Path), metavar="FILE", help="Where to write it.")
@open_option
@runs_dir_option
@json_option
def command(ref: str, file: Path | None, wanted: str, runs_dir: Path, as_json: bool) -> None:
    """Write a RUN as one HTML file.

    It shows how the run ended and why, outputs, the graph, times, and each prompt with its answer. It needs no network
    and holds all that it shows: send it to anybody. Without -o it is written to the current folder, named for the run.
    """
    from metis_flow.errors import UsageError
    from metis_flow.record.folder import find_run
    from metis_flow.units import format_size
    from metis_flow.views.report.page import report_html
    from metis_flow.views.values import near

    folder = find_run(ref, runs_dir)
    path = Path(f"{folder.id}.html") if file is None else file
    text = report_html(folder)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        hint = "name a file in a folder that is there and can be written: -o FILE"
        raise UsageError(f"the report cannot be written: {error.strerror}", where=str(path), hint=hint) from None
    size = path.stat().st_size
    if as_json:
        print_document({"run": folder.id, "report": str(path.absolute()), "bytes": size})
    else:
        click.echo(f"{near(path)} ({format_size(size)})")
    open_page(path.absolute().as_uri(), wanted)
