"""``metis-flow sites``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.options import json_option


@click.group("sites", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List where steps may run.

    These are the sites that come along, your own, and those in the current folder.
    """
    if context.invoked_subcommand is not None:
        return
    from metis_flow.sites.config import list_sites
    from metis_flow.views.sites import print_sites

    sites = list_sites(beside=Path.cwd())
    if as_json:
        print_document({"sites": [site.model_dump(mode="json") for site in sites]})
    else:
        print_sites(sites, sys.stdout)


@command.command("show")
@click.argument("name")
@click.option(
    "--set",
    "settings",
    metavar="FIELD=VALUE",
    multiple=True,
    help="Another value for a field, such as account=X or executors.workers.workers=2; may be repeated.",
)
@json_option
def show(name: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Show one site: each value and where it comes from, and what Parsl is told.

    NAME is the name of a site or the path of a site file. Nothing is started.
    """
    from metis_flow.sites.description import describe_site
    from metis_flow.views.sites import description_as_json, print_description

    description = describe_site(name, beside=Path.cwd(), settings=settings)
    if as_json:
        print_document(description_as_json(description))
    else:
        print_description(description, sys.stdout)
