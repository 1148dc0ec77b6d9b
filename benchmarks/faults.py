"""Whether a run through everything that goes wrong loses, spoils or doubles an answer.

``python -m benchmarks.faults`` asks 5,000 questions with a Globus login, and gives the gateway's clock a speed at which
a minute lasts less than a second. The gateway runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from benchmarks.whole_run import Recorded, ask_all, table
from metis_flow.testing import Counts, Faults, GatewayProcess, Spell

RATES = {
    "429_requests": 0.02,
    "429_tokens": 0.02,
    "429_upstream": 0.01,
    "500": 0.01,
    "502": 0.01,
    "504": 0.01,
    "cut": 0.005,
    "cut_mid": 0.005,
    "not_json": 0.01,
    "null_content": 0.005,
}


@dataclass(frozen=True)
class Load:
    """So many questions, and how fast the gateway's clock runs."""

    calls: int = 5000
    speed: float = 200.0
    seed: int = 7

    def questions(self) -> dict[str, str]:
        """By name."""
        return {f"q{n}": f"Question {n}: what is {n} times {n + 1}?" for n in range(self.calls)}

    def faults(self) -> Faults:
        """Rates all the time, and three spells, one after the other."""
        spells = [
            Spell("not_live", start=self.calls // 4, seconds=150.0),
            Spell("globus_outage", start=self.calls // 2, seconds=90.0),
            Spell("token_expiry", start=3 * self.calls // 4),
        ]
        return Faults(seed=self.seed, rate=RATES, spells=spells)


@dataclass(frozen=True)
class Result:
    """What the record and the gateway say afterwards."""

    load: Load
    recorded: Recorded
    counts: Counts


def measure(folder: Path, load: Load) -> Result:
    """Run it against a gateway of its own."""
    faults = json.dumps(load.faults().as_json())
    with GatewayProcess("--no-limits", "--speed", str(load.speed), "--faults", faults) as gateway:
        gateway.write_token_file(folder / "home")
        endpoint = gateway.write_endpoint(folder, auth={"kind": "globus"}, limits={"timeout": 120})
        with mock.patch.dict(os.environ, {"HOME": str(folder / "home"), **gateway.environment()}):
            recorded = ask_all(folder, load.questions(), str(endpoint), speed=load.speed)
        return Result(load, recorded, gateway.counts)


def report(result: Result) -> str:
    """The figures as lines."""
    recorded, counts = result.recorded, result.counts
    questions = result.load.questions()
    return table(
        {
            "calls": result.load.calls,
            "seconds": recorded.seconds,
            "recorded": len(recorded.answers),
            "lost": recorded.lost(questions),
            "wrong": recorded.wrong(questions),
            "doubled": recorded.doubled,
            "failed": len(recorded.failed),
            "paid for twice": counts.repeated,
            "refreshes": counts.refreshes,
            "refresh attempts": counts.refresh_attempts,
            "faults put in": counts.faults,
            "answers by kind": counts.kinds,
            "sent again": recorded.retries,
        }
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--speed", type=float, default=200.0, help="of the gateway's clock")
    parser.add_argument("--seed", type=int, default=7, help="of the faults")
    arguments = parser.parse_args()
    load = Load(arguments.calls, arguments.speed, arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        print(report(measure(Path(folder), load)))


if __name__ == "__main__":
    main()
