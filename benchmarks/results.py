"""Keeps what the benchmarks measured, and makes RESULTS.md of it.

Each benchmark saves one section, with the machine and the versions of its own run. ``python -m benchmarks.results``
writes the page again from what is saved, after a remark was edited.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
SAVED = FOLDER / "measured"
PAGE = FOLDER / "RESULTS.md"
REMARKS = SAVED / "remarks"
"""A text a section, by hand: the profile that explains a figure, or why it is worse than hoped."""
ORDER = ("compare", "call_path", "processes", "growth", "pipeline", "waiting", "rates", "startup")
PACKAGES = ("metis-flow", "openai", "parsl", "aiohttp", "httpx2")


@dataclass(frozen=True)
class Section:
    """What one benchmark found.

    Args:
        name: of its module, and of the file that keeps it.
        title: a heading.
        columns: names; the first column tells what a row is about.
        rows: numbers and texts, as many as columns.
        remarks: sentences below the table.
        picture: an SVG beside the saved file.
        versions: of packages, besides those of metis-flow's own environment.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    remarks: Sequence[str] = ()
    picture: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def save(section: Section) -> None:
    """Keep a section in place of its last one, and write RESULTS.md again."""
    SAVED.mkdir(exist_ok=True)
    told = asdict(section) | {"machine": machine(), "versions": versions() | dict(section.versions), "date": _today()}
    (SAVED / f"{section.name}.json").write_text(json.dumps(told, indent=1, default=str) + "\n", encoding="utf-8")
    write_page()


def write_page() -> None:
    """RESULTS.md from all that is saved."""
    saved = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in SAVED.glob("*.json")}
    names = [*(name for name in ORDER if name in saved), *sorted(saved.keys() - set(ORDER))]
    PAGE.write_text("\n".join([_HEAD, *(_section(saved[name]) for name in names)]), encoding="utf-8")


_HEAD = """\
# Results

Written by the benchmarks themselves (`python -m benchmarks.NAME`; [CONTRIBUTING.md](../CONTRIBUTING.md) lists them).
Each section names its machine and versions: compare figures within a section only. The machine is shared, so rounds
are interleaved and medians are given, with the smallest and largest of the rounds in brackets where that matters.
"""


def _section(saved: Mapping[str, Any]) -> str:
    lines = [f"## {saved['title']}", "", *table_lines(saved["columns"], saved["rows"]), ""]
    if saved["picture"]:
        lines += [f"![{saved['title']}](measured/{saved['picture']})", ""]
    for remark in saved["remarks"]:
        lines += [remark, ""]
    by_hand = REMARKS / f"{saved['name']}.md"
    if by_hand.exists():
        lines += [by_hand.read_text(encoding="utf-8").strip(), ""]
    packages = ", ".join(f"{name} {version}" for name, version in saved["versions"].items())
    lines += [f"{saved['date']}; {saved['machine']}; {packages}.", ""]
    return "\n".join(lines)


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A table in Markdown; all columns but the first to the right."""
    rule = "|".join(["---", *(["---:"] * (len(columns) - 1))])
    return [_row(columns), f"|{rule}|", *(_row([shown(value) for value in row]) for row in rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def shown(value: object) -> str:
    """A value of a table: three digits that say something, thousands apart, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def machine() -> str:
    """Cores that may be used, memory, processor, system, and how busy it was."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    busy = os.getloadavg()[0]
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return (
        f"{cores} cores of {_processor()}, {memory:.0f} GiB, {system}, Python {platform.python_version()}, "
        f"load {busy:.1f} at the end"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions() -> dict[str, str]:
    """Versions of the packages that matter here."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def _today() -> str:
    return datetime.now(timezone.utc).date().isoformat()


if __name__ == "__main__":
    write_page()
