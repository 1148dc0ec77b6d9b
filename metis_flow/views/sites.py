"""Sites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from metis_flow.sites.config import SiteConfig
from metis_flow.sites.description import Description
from metis_flow.views.safe_text import one_line, safe
from metis_flow.views.tables import Column, print_table
from metis_flow.views.values import near, short

_COLUMNS = (Column("site"), Column("executors"), Column("what it is"), Column("file", gives_way=True))
_VALUES = (Column("field"), Column("value"), Column("from", gives_way=True))


def print_sites(sites: Sequence[SiteConfig], out: TextIO) -> None:
    """A row for each site."""
    rows = []
    for site in sites:
        executors = ", ".join(f"{name} ({config.kind})" for name, config in site.executors.items())
        rows.append((site.name, executors, site.description, near(site.source)))
    print_table(_COLUMNS, rows, out)


def description_as_json(description: Description) -> dict[str, Any]:
    """The form in ``sites show --json``."""
    return {
        "site": description.site.model_dump(mode="json"),
        "values": [{"name": each.name, "value": each.value, "from": each.origin} for each in description.values],
        "hosts": list(description.hosts),
        "in_allocation": bool(description.hosts) and not description.imagined,
        "parsl": description.parsl,
    }


def print_description(description: Description, out: TextIO) -> None:
    """A site: what is said about it and where, and what Parsl is told."""
    site = description.site
    out.write(safe(site.name) + (f": {one_line(site.description)}" if site.description else "") + "\n\n")
    rows = [(each.name, short(each.value), _origin(each.origin)) for each in description.values]
    print_table(_VALUES, rows, out)
    if description.imagined:
        count = len(description.hosts)
        nodes = "1 node" if count == 1 else f"{count} nodes"
        out.write(f"\nThere is no allocation here; what follows is for one of {nodes}.\n")
    for name, told in description.parsl.items():
        out.write(f"\nWhat Parsl is told of {safe(name)}:\n")
        out.writelines(f"  {line}\n" for line in _lines(told))


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    """A line for each argument; a script, and an object of Parsl's own, stand below its name."""
    for name, value in told.items():
        if isinstance(value, dict) and "class" in value:
            yield f"{name}: {safe(value['class'])}"
            yield from (f"  {line}" for line in _lines(value) if not line.startswith("class: "))
        elif isinstance(value, str) and "\n" in value:
            yield f"{name}:"
            yield from (f"  {line}" for line in safe(value).split("\n"))
        else:
            yield f"{name}: {short(value)}"


def _origin(origin: str) -> str:
    if origin.startswith("--set "):
        return "--set"
    path, _, line = origin.rpartition(":")
    return f"{near(Path(path))}:{line}"
