"""Sites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from metis_flow.sites.config import SiteConfig
from metis_flow.views.tables import Column, print_table
from metis_flow.views.values import near

_COLUMNS = (Column("site"), Column("steps run in"), Column("at once", right=True), Column("file", gives_way=True))


def print_sites(sites: Sequence[SiteConfig], out: TextIO) -> None:
    """A row for each site."""
    rows = []
    for site in sites:
        name, work = site.work
        rows.append((site.name, f"{work.kind} ({name})", work.worker_count, near(site.source)))
    print_table(_COLUMNS, rows, out)
