"""How near a run comes to what a gateway's rates allow.

``python -m benchmarks.rates`` asks 300 questions of some 400 tokens, with the real limits at real speed: more than a
minute. The gateway runs in a process of its own. For answers of uneven length see ``benchmarks.waiting``.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import Section, save
from benchmarks.whole_run import Recorded, ask_all, table
from metis_flow.testing import Counts, GatewayProcess

WINDOW = 60.0


@dataclass(frozen=True)
class Load:
    """So many questions, and the rates that the gateway has for them.

    Args:
        calls: questions.
        tokens: of each on average, prompt and answer together; the shortest and the longest are a fifth away.
        per_minute: tokens a minute of one user.
        per_second: requests a second.
        latency: of an answer, in the gateway's seconds.
        speed: of the gateway's clock.
    """

    calls: int = 300
    tokens: int = 395
    per_minute: int = 60_000
    per_second: int = 10
    latency: float = 0.5
    speed: float = 1.0

    def questions(self) -> dict[str, str]:
        """By name; the same each time."""
        chance = random.Random(1)
        return {f"q{n}": self._question(n, chance.uniform(0.8, 1.2)) for n in range(self.calls)}

    def _question(self, n: int, share: float) -> str:
        # Four characters a token; some 100 of the tokens are the answer, which repeats the first 400 characters.
        words = f"Question {n}: " + "what is known about it? " * self.tokens
        return words[: max(40, round(4 * (self.tokens * share - 109)))]

    def least_seconds(self, charged: Iterable[int]) -> float:
        """The least time for calls of these sizes, sent one after the other without a pause.

        A window is full once a call has gone over its limit; in the last one, calls take what the requests a second
        allow. How long an answer takes is left out.
        """
        full = calls = used = 0
        for tokens in charged:
            if used >= self.per_minute:
                full, calls, used = full + 1, 0, 0
            used += tokens
            calls += 1
        return full * WINDOW + calls / self.per_second


@dataclass(frozen=True)
class Result:
    """How it went; seconds are the gateway's own."""

    load: Load
    recorded: Recorded
    counts: Counts

    @property
    def seconds(self) -> float:
        return self.recorded.seconds * self.load.speed

    @property
    def least(self) -> float:
        return self.load.least_seconds(self.recorded.tokens)

    @property
    def refused(self) -> dict[str, int]:
        """Answers with status 429, by kind."""
        return {kind: count for kind, count in self.counts.kinds.items() if kind.startswith("429")}


def measure(folder: Path, load: Load) -> Result:
    """Run it against a gateway of its own."""
    options = {
        "--tokens-per-minute": load.per_minute,
        "--requests-per-second": load.per_second,
        "--latency": load.latency / load.speed,
        "--speed": load.speed,
    }
    with GatewayProcess(*(str(word) for pair in options.items() for word in pair)) as gateway:
        limits = {
            "requests_per_second": load.per_second,
            "tokens_per_minute": {"user": load.per_minute, "model": 100_000},
        }
        endpoint = gateway.write_endpoint(folder, limits=limits)
        recorded = ask_all(folder, load.questions(), str(endpoint), speed=load.speed)
        return Result(load, recorded, gateway.counts)


def report(result: Result) -> dict[str, object]:
    """Names and figures."""
    recorded, load = result.recorded, result.load
    return {
        "calls": load.calls,
        "tokens charged": result.counts.tokens,
        "tokens a call": result.counts.tokens / load.calls,
        "seconds": result.seconds,
        "least seconds": result.least,
        "ratio": result.seconds / result.least,
        "lost": recorded.lost(load.questions()),
        "wrong": recorded.wrong(load.questions()),
        "doubled": recorded.doubled,
        "paid for twice": result.counts.repeated,
        "answers 429": sum(result.refused.values()),
        "sent again": sum(recorded.retries.values()),
        "most in flight": result.counts.high_water,
    }


def section(result: Result) -> Section:
    """For RESULTS.md."""
    found, load = report(result), result.load
    return Section(
        name="rates",
        title="Tokens a minute, with answers of like length",
        columns=tuple(found),
        rows=[tuple(found.values())],
        remarks=(
            f"{load.per_minute:,} tokens a minute and {load.per_second} requests a second, at real speed. The least"
            " is for calls one after the other without a pause, each window full.",
        ),
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--speed", type=float, help="of the gateway's clock")
    parser.add_argument("--tokens", type=int, default=395, help="of each, on average")
    parser.add_argument("--small", action="store_true", help="with a clock ten times as fast; nothing is saved")
    given = parser.parse_args()
    load = Load(calls=given.calls, tokens=given.tokens, speed=given.speed or (10.0 if given.small else 1.0))
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), load)
    print(table({**report(result), "answers by kind": result.counts.kinds}))
    if not given.small:
        save(section(result))


if __name__ == "__main__":
    main()
