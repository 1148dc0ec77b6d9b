"""What the journal costs: the same questions with it, and with one that throws everything away.

``python -m benchmarks.journal_cost`` asks a gateway that answers at once, in a process of its own. Rounds of both kinds
take turns, so that whatever else the machine does meets both alike; what counts is the ratio of the medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.whole_run import STUDY, table
from metis_flow import Workflow
from metis_flow.engine import run as engine_run
from metis_flow.record.journal import JournalWriter
from metis_flow.testing import GatewayProcess


class Discarding:
    """Takes entries as a journal does, and says at once that they are durable."""

    failure: BaseException | None = None

    def __init__(self, folder: Path, **options: Any) -> None:
        pass

    def append(self, entry: Mapping[str, Any], on_durable: Callable[[], None] | None = None) -> None:
        """Nothing is kept."""
        if on_durable is not None:
            on_durable()

    def flush(self, timeout: float | None = None) -> None:
        """There is nothing to wait for."""

    def close(self, timeout: float | None = None) -> None:
        """There is nothing to end."""


@dataclass
class Rounds:
    """Seconds of each round, by the wall's clock and of this process's CPU."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Load:
    """So many questions a round, of some 900 characters each."""

    calls: int = 500
    rounds: int = 25
    concurrency: int = 64

    def questions(self, number: int) -> str:
        """JSON Lines; no two rounds ask the same."""
        rows = [
            {"name": f"q{n}", "text": f"Round {number}, question {n}: " + "what is known about it? " * 36}
            for n in range(self.calls)
        ]
        return "".join(json.dumps(row) + "\n" for row in rows)


def measure(folder: Path, load: Load) -> dict[str, Rounds]:
    """Rounds with the journal and without, in turn."""
    kinds: dict[str, type] = {"kept": JournalWriter, "discarded": Discarding}
    measured = {name: Rounds() for name in kinds}
    (folder / "questions.yaml").write_text(STUDY, encoding="utf-8")
    workflow = Workflow.load(folder / "questions.yaml")
    with GatewayProcess("--no-limits") as gateway:
        endpoint = str(gateway.write_endpoint(folder, limits={"concurrency": load.concurrency}))
        for number in range(-1, load.rounds):  # the first is for what is loaded only once
            for name, kind in list(kinds.items())[:: 1 if number % 2 else -1]:
                (folder / "questions.jsonl").write_text(load.questions(number), encoding="utf-8")
                with mock.patch.object(engine_run, "JournalWriter", kind):
                    wall, cpu = time.monotonic(), time.process_time()
                    workflow.run(endpoint=endpoint, runs_dir=folder / f"{name}-{number}")
                    if number >= 0:
                        measured[name].wall.append(time.monotonic() - wall)
                        measured[name].cpu.append(time.process_time() - cpu)
        expected = 2 * (load.rounds + 1) * load.calls
        if gateway.counts.answered != expected:
            raise RuntimeError(f"{gateway.counts.answered} answers instead of {expected}: the rounds are not alike")
    return measured


def report(load: Load, measured: Mapping[str, Rounds]) -> str:
    """The figures as lines."""
    rows: dict[str, object] = {"calls a round": load.calls, "rounds of each": load.rounds}
    for name, rounds in measured.items():
        rows[f"{name}: calls a second"] = load.calls / statistics.median(rounds.wall)
        rows[f"{name}: least and most"] = f"{load.calls / max(rounds.wall):.0f} to {load.calls / min(rounds.wall):.0f}"
        rows[f"{name}: ms of CPU a call"] = 1000 * statistics.median(rounds.cpu) / load.calls
    kept, discarded = measured["kept"], measured["discarded"]
    rows["ratio of throughput"] = f"{statistics.median(discarded.wall) / statistics.median(kept.wall):.3f}"
    pairs = [without / with_it for with_it, without in zip(kept.wall, discarded.wall, strict=True)]
    rows["median of the pairs' ratios"] = f"{statistics.median(pairs):.3f}"
    rows["ratio of CPU"] = f"{statistics.median(kept.cpu) / statistics.median(discarded.cpu):.3f}"
    return table(rows)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=500, help="of a round")
    parser.add_argument("--rounds", type=int, default=25, help="of each kind")
    arguments = parser.parse_args()
    load = Load(arguments.calls, arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        print(report(load, measure(Path(folder), load)))


if __name__ == "__main__":
    main()
