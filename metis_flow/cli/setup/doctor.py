"""``metis-flow doctor``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from metis_flow.cli.documents import print_document, reader_may_leave
from metis_flow.cli.options import json_option, runs_dir_option, settings_option, site_option
from metis_flow.errors import EXIT_DONE, EXIT_FAILED


@click.command("doctor")
@site_option
@settings_option
@click.option("--endpoint", metavar="E", help="Look at this endpoint too: its login, and whether it is in reach.")
@click.option("--in-job", is_flag=True, help="Start the site's workers too, and compare them with the driver.")
@runs_dir_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    site: str | None,
    settings: tuple[str, ...],
    endpoint: str | None,
    in_job: bool,
    runs_dir: Path,
    as_json: bool,
) -> None:
    """See whether a site can be used from here.

    Each line says how to mend what is in the way. --in-job starts workers as a run does; on a login node that sends a
    job. Ends with exit code 1 where something has to be mended.
    """
    from metis_flow.inference.endpoints import find_endpoint
    from metis_flow.sites.config import DEFAULT_SITE, find_site

    chosen = find_site(site or DEFAULT_SITE, beside=Path.cwd(), settings=settings)
    asked = find_endpoint(endpoint, beside=Path.cwd()) if endpoint is not None else None

    from metis_flow.sites.doctor.examination import examine
    from metis_flow.sites.parsl_config import driver_environment
    from metis_flow.views.doctor import findings_as_json, print_findings, summary

    for name, value in driver_environment(chosen).items():  # as a run has it
        os.environ.setdefault(name, value)
    findings = examine(chosen, asked, runs_dir, in_job=in_job)
    if as_json:
        found = list(findings)
        print_document(findings_as_json(found, chosen.name))
    else:
        with reader_may_leave():
            found = print_findings(findings, sys.stdout)
            click.echo(summary(found))
    context.exit(EXIT_FAILED if any(finding.level == "fail" for finding in found) else EXIT_DONE)
