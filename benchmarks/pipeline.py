"""How near a pipeline of calls comes to the least time that it can take.

``python -m benchmarks.pipeline`` sends 500 items through three steps, each item as soon as it is there: chat, Python,
chat, and then chat, chat, chat, on a server whose answers take 0.2 to 5 s. Some two minutes. The server runs in a
process of its own, and so does each run, whose start-up counts; modules are compiled beforehand, as after an
installation.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import Section, save
from benchmarks.startup import environment
from benchmarks.whole_run import table
from metis_flow.record.journal import read_journal
from metis_flow.testing import GatewayProcess, Reply

STUDY = """\
version: 1
name: pipeline
model: {{name: gpt-oss-120b, temperature: 0, max_tokens: 50}}
limits: {{concurrency: {places}}}
steps:
  first:
    foreach: ${{{{ range({items}) }}}}
    chat: "{first}"
  second:
    foreach: ${{{{ steps.first.results }}}}
    {second}
  third:
    foreach: ${{{{ steps.second.results }}}}
    chat: "{third}"
"""
PYTHON = 'python: between:step\n    with: {text: "${{ item.output }}"}'
BETWEEN = "def step(text):\n    return text.upper()\n"


@dataclass(frozen=True)
class Load:
    """So many items, and how long the answers take.

    Args:
        items: that go through three steps.
        places: calls in flight.
        shortest: seconds that an answer takes.
        longest: likewise.
        python: whether the second step is a Python function instead of a call.
    """

    items: int = 500
    places: int = 64
    shortest: float = 0.2
    longest: float = 5.0
    python: bool = False

    @property
    def name(self) -> str:
        return "chat, Python, chat" if self.python else "chat, chat, chat"

    @property
    def calls(self) -> tuple[str, ...]:
        """The steps that ask the model."""
        return ("first", "third") if self.python else ("first", "second", "third")

    def text(self, step: str, item: int | str) -> str:
        """What a step asks for an item; it says to the server how long the answer takes."""
        return f"{step} {item} {self.shortest} {self.longest}"

    def study(self) -> str:
        """The workflow."""
        of_result = "${{ item.key }}"
        return STUDY.format(
            places=self.places,
            items=self.items,
            first=self.text("first", "${{ item }}"),
            second=PYTHON if self.python else f'chat: "{self.text("second", of_result)}"',
            third=self.text("third", of_result),
        )

    def seconds(self) -> list[list[float]]:
        """How long the answers of each item take."""
        return [[seconds_for(self.text(step, item)) for step in self.calls] for item in range(self.items)]

    def bound(self) -> float:
        """The least makespan: all places busy all the time, or the longest chain of one item."""
        chains = [sum(chain) for chain in self.seconds()]
        return max(sum(chains) / self.places, max(chains))


def seconds_for(text: str) -> float:
    """How long the answer to a question takes: anything between the bounds that it names, the same each time."""
    _, _, shortest, longest = text.split()
    share = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
    return float(shortest) + share * (float(longest) - float(shortest))


def answer(body: dict[str, Any], n: int) -> Reply:
    """The server's rule."""
    text = body["messages"][-1]["content"]
    return Reply(content=f"answer to {text}", latency=seconds_for(text))


@dataclass(frozen=True)
class Result:
    """How it went. All but `makespan` and `bound` are seconds of all places: what they add up to is the makespan.

    Args:
        makespan: seconds from the start of the process to its end.
        bound: the least.
        before: until the first call was sent.
        answering: places that were taken by calls, as long as the server's answers take.
        handling: likewise, beyond that.
        idle: places that were free while there were calls to be sent.
        tail: places that were free after the last call had been sent.
        after: from the last answer to the end of the process.
    """

    load: Load
    makespan: float
    bound: float
    before: float
    answering: float
    handling: float
    idle: float
    tail: float
    after: float

    @property
    def ratio(self) -> float:
        return self.makespan / self.bound

    def rows(self) -> dict[str, object]:
        """Names and figures."""
        names = ("makespan", "bound", "ratio", "before", "answering", "handling", "idle", "tail", "after")
        return {"steps": self.load.name, "items": self.load.items, **{name: getattr(self, name) for name in names}}


def measure(load: Load, compiled: Path, python: str = sys.executable) -> Result:
    """Run it once against a server of its own.

    Args:
        compiled: the folder of compiled modules.
        python: the interpreter of an environment with metis-flow.
    """
    with (
        tempfile.TemporaryDirectory() as name,
        GatewayProcess("--no-limits", "--rule", "benchmarks.pipeline:answer") as server,
    ):
        folder = Path(name)
        endpoint = server.write_endpoint(folder, limits={"timeout": 120})
        (folder / "pipeline.yaml").write_text(load.study(), encoding="utf-8")
        (folder / "between.py").write_text(BETWEEN, encoding="utf-8")
        run = [python, "-m", "metis_flow.cli", "run", "pipeline.yaml", "--endpoint", str(endpoint), "--json"]
        began = time.time()
        done = subprocess.run(run, cwd=folder, env=environment(compiled), capture_output=True, check=True)
        ended = time.time()
        record = Path(json.loads(done.stdout)["record"])
        return _result(load, began, ended, read_journal(record / "journal"))


def _result(load: Load, began: float, ended: float, entries: Iterable[Mapping[str, Any]]) -> Result:
    calls = [entry for entry in entries if entry["e"] == "done" and "call" in entry]
    assert len(calls) == load.items * len(load.calls), "calls are missing"
    spans = sorted((entry["t1"] - entry["call"]["seconds"], entry["t1"]) for entry in calls)
    first, last_sent, last = spans[0][0], spans[-1][0], max(end for _, end in spans)
    busy = sum(end - start for start, end in spans)
    in_tail = sum(end - max(start, last_sent) for start, end in spans if end > last_sent)
    answering = sum(map(sum, load.seconds()))
    return Result(
        load,
        makespan=ended - began,
        bound=load.bound(),
        before=first - began,
        answering=answering / load.places,
        handling=(busy - answering) / load.places,
        idle=last_sent - first - (busy - in_tail) / load.places,
        tail=last - last_sent - in_tail / load.places,
        after=ended - last,
    )


def loads(items: int, *, small: bool) -> list[Load]:
    """Both pipelines; small ones have fewer places and shorter answers."""
    given: dict[str, Any] = {"items": items}
    if small:
        given = {"items": 60, "places": 16, "shortest": 0.05, "longest": 1.25}
    return [Load(python=python, **given) for python in (True, False)]


def section(results: list[Result]) -> Section:
    """For RESULTS.md."""
    rows = [result.rows() for result in results]
    load = results[0].load
    return Section(
        name="pipeline",
        title="A pipeline of three steps, item by item",
        columns=tuple(rows[0]),
        rows=[tuple(row.values()) for row in rows],
        remarks=(
            f"Seconds. {load.places} calls in flight, answers of {load.shortest} to {load.longest} s. The bound is all"
            " answers divided by the places, or the longest chain of one item. The makespan is that of the whole"
            " process; it is the sum of the columns after the ratio, which are seconds of all places: before the first"
            " call, taken by answers, taken beyond that, free while there was something to send, free after the last"
            " call had been sent, and after the last answer.",
        ),
    )


def main() -> None:
    """Measure, and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--python", default=sys.executable, help="of an environment with metis-flow; this one if none")
    parser.add_argument("--small", action="store_true", help="in less than half a minute; nothing is saved")
    given = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as compiled:
        measure(Load(items=1, longest=0.2, python=True), Path(compiled), given.python)
        for load in loads(given.items, small=given.small):
            results.append(measure(load, Path(compiled), given.python))
            print(table(results[-1].rows()), end="\n\n", flush=True)
    if not given.small:
        save(section(results))


if __name__ == "__main__":
    main()
