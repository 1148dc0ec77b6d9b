"""``metis-flow sites``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.options import json_option


@click.command("sites")
@json_option
def command(as_json: bool) -> None:
    """List where steps may run.

    These are the sites that come along, your own, and those in the current folder.
    """
    from metis_flow.sites.config import list_sites
    from metis_flow.views.sites import print_sites

    sites = list_sites(beside=Path.cwd())
    if as_json:
        print_document({"sites": [site.model_dump(mode="json") for site in sites]})
    else:
        print_sites(sites, sys.stdout)
