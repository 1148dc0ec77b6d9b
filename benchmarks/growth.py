"""What a run takes as its items become many: time, processor and memory.

``python -m benchmarks.growth`` reads 1,000, 10,000 and 100,000 rows from a file, asks a question about each of a server
that answers at once, and writes the results to a file, each time in a process of its own: some three minutes. With
``--million`` a million of them too, which takes a quarter of an hour and 2 GB of disk; with ``--records`` it asks a
record of a million calls as a user does: two minutes more. ``--small`` is over in half a minute and saves nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lines_drawing import Line, drawing
from benchmarks.records import COMMAND, Asked, ask, write_record
from benchmarks.results import SAVED, Section, save, shown, table_lines
from benchmarks.server import MODEL, LoopbackServer

SIZES = (1_000, 10_000, 100_000)
MILLION = 1_000_000
SHORT, ROUNDS = 10_000, 3
"""A run of so few items at most is made so often."""
STUDY = f"""\
version: 1
name: growth
params:
  rows: {{type: path, default: rows.jsonl}}
model: {{name: {MODEL}, temperature: 0}}
limits: {{concurrency: 64}}
steps:
  load:
    uses: read_rows
    with: {{path: "${{{{ params.rows }}}}"}}
  ask:
    foreach: ${{{{ steps.load.output }}}}
    as: row
    key: ${{{{ row.name }}}}
    chat: ${{{{ row.text }}}}
  save:
    uses: write_rows
    with: {{rows: "${{{{ steps.ask.results }}}}", path: answers.jsonl}}
outputs: {{saved: "${{{{ steps.save.output }}}}"}}
"""
COLUMNS = ("what", "items", "s", "ms an item", "CPU ms an item", "peak MB", "bytes an item")


@dataclass(frozen=True)
class Measured:
    """One run from its start to its end.

    Attributes:
        used: by the driver.
    """

    items: int
    used: Asked

    @property
    def milliseconds(self) -> float:
        """By the wall's clock, for each item."""
        return self.used.seconds / self.items * 1000


def write_study(folder: Path, items: int) -> Path:
    """The workflow and its rows of some 240 characters; the path of the workflow."""
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for number in range(items):
            text = f"Question {number}: " + "what is known about it? " * 8
            file.write(json.dumps({"name": f"paper-{number}", "text": text}) + "\n")
    path = folder / "growth.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def measure(items: int) -> Measured:
    """One whole run of so many items."""
    with tempfile.TemporaryDirectory() as place, LoopbackServer("0") as server:
        folder = Path(place)
        endpoint = server.write_endpoint(folder)
        words = [
            "run",
            str(write_study(folder, items)),
            "--endpoint",
            str(endpoint),
            "--runs-dir",
            str(folder / "runs"),
        ]
        used = ask([*COMMAND, *words, "--json"])
        told = json.loads(used.out)
        if told["calls"] != items or told["outputs"]["saved"]["rows"] != items:
            raise RuntimeError(f"of {items} items {told['calls']} were asked, and this came out: {told['outputs']}")
        return Measured(items, used)


def measured(items: int, rounds: int) -> Measured:
    """The one in the middle of several runs."""
    found = sorted((measure(items) for _ in range(rounds)), key=lambda one: one.used.seconds)
    print(f"{items:,} items: {', '.join(str(one.used) for one in found)}", file=sys.stderr)
    return found[len(found) // 2]


def rows_of(found: Sequence[Measured]) -> list[tuple[object, ...]]:
    """The rows of the table; bytes are counted from the smallest run on."""
    rows: list[tuple[object, ...]] = []
    for one in found:
        more, base = one.items - found[0].items, found[0].used.megabytes
        each = round((one.used.megabytes - base) * 2**20 / more) if more else None
        cpu = one.used.cpu / one.items * 1000
        rows.append(("a run", one.items, one.used.seconds, one.milliseconds, cpu, one.used.megabytes, each))
    return rows


def rows_of_record(calls: int) -> list[tuple[object, ...]]:
    """What it takes to ask a record of so many calls, and to plan that many items."""
    with tempfile.TemporaryDirectory() as place:
        runs = Path(place) / "runs"
        runs.mkdir()
        folder = write_record(runs, calls)
        plan = Path(place) / "many.yaml"
        foreach = f'foreach: "${{{{ range({calls}) }}}}", chat: "item ${{{{ item }}}}"'
        plan.write_text(f"version: 1\nname: many\nmodel: {MODEL}\nsteps: {{a: {{{foreach}}}}}\n", encoding="utf-8")
        where = ["--runs-dir", str(runs), "--json"]
        asked = {
            "status of a record": ["status", folder.id],
            "one instance of it": ["show", folder.id, "ask@q77"],
            "resume of it": ["resume", folder.id],
            "plan": ["plan", str(plan), "--endpoint", "metis"],
        }
        found: list[tuple[object, ...]] = []
        for what, words in asked.items():
            used = ask([*COMMAND, *words, *where])
            each = (used.seconds / calls * 1000, used.cpu / calls * 1000)
            found.append((what, calls, used.seconds, *each, used.megabytes, None))
        return found


def picture(found: Sequence[Measured]) -> str:
    """Memory and time by the number of items."""
    items = [one.items for one in found]
    return drawing(
        [
            Line("peak MB of the driver", items, [one.used.megabytes for one in found]),
            Line("ms an item", items, [one.milliseconds for one in found]),
        ],
        "items",
    )


def main() -> None:
    """Measure, print a table, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="100 and 1,000 items; nothing is kept")
    parser.add_argument("--million", action="store_true", help="a million items too")
    parser.add_argument("--records", action="store_true", help="a record of a million calls too")
    arguments = parser.parse_args()
    sizes = (100, 1_000) if arguments.small else (*SIZES, *((MILLION,) if arguments.million else ()))
    found = [measured(items, ROUNDS if items <= SHORT and not arguments.small else 1) for items in sizes]
    rows = rows_of(found) + (rows_of_record(MILLION) if arguments.records else [])
    print("\n".join(table_lines(COLUMNS, rows)))
    if not arguments.small:
        SAVED.mkdir(exist_ok=True)
        (SAVED / "growth.svg").write_text(picture(found), encoding="utf-8")
        save(Section("growth", "Growth", COLUMNS, rows, remarks=_remarks(found), picture="growth.svg"))


def _remarks(found: Sequence[Measured]) -> list[str]:
    by_items = {one.items: one for one in found}
    ratio = by_items[100_000].milliseconds / by_items[10_000].milliseconds
    of_cpu = by_items[100_000].used.cpu / by_items[10_000].used.cpu / 10
    return [
        "Rows from a JSON Lines file, a question about each of a server that answers at once, and the results into a "
        "JSON Lines file; 64 calls in flight. Time is of the whole command; peak memory is the driver's, and bytes an "
        "item are what it holds above the smallest run.",
        f"An item of 100,000 takes {shown(ratio)} times as long as one of 10,000, and {shown(of_cpu)} times the CPU.",
    ]


if __name__ == "__main__":
    main()
