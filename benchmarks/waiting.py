"""How much of a gateway's tokens a minute a run uses, when its answers are of very uneven length.

``python -m benchmarks.waiting`` asks questions whose answers have 10 to 4,000 tokens and come at 100 to 200 of them a
second, with the limits of Metis, for six windows of a minute and with five seeds. The gateway's clock is five times as
fast, so that it takes less than seven minutes. The gateway runs in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest import mock

from benchmarks import rates
from benchmarks.results import Section, save
from benchmarks.whole_run import running_at, table
from metis_flow import Workflow
from metis_flow.testing import Counts, GatewayProcess, Reply

WINDOW = 60.0
LONGEST = 4000
STUDY = f"""\
version: 1
name: uneven
params: {{questions: {{type: path, default: questions.jsonl}}}}
model: {{name: gpt-oss-120b, temperature: 0, max_tokens: {LONGEST}}}
steps:
  load:
    uses: read_rows
    with: {{path: "${{{{ params.questions }}}}"}}
  ask:
    foreach: ${{{{ steps.load.output }}}}
    chat: ${{{{ item.text }}}}
"""
CHARGES = "METIS_FLOW_BENCHMARK_CHARGES"
"""The variable that names the file into which the gateway's rule writes what it charged, and when."""


@dataclass(frozen=True)
class Load:
    """Questions for so many windows; the lengths of answers have a long tail.

    Args:
        windows: that the answers fill.
        seed: of lengths and speeds.
        median: tokens of an answer.
        spread: of the logarithm of that.
        per_minute: tokens a minute of one user.
        per_second: requests a second.
        speed: of the gateway's clock.
    """

    windows: int = 6
    seed: int = 0
    median: int = 200
    spread: float = 1.3
    per_minute: int = 60_000
    per_second: int = 10
    speed: float = 5.0

    def questions(self) -> list[str]:
        """Each says first how many tokens its answer has, and in how many real seconds it comes."""
        chance = random.Random(self.seed)
        found: list[str] = []
        left = self.windows * self.per_minute
        while left > 0:
            length = max(10, min(LONGEST, int(chance.lognormvariate(math.log(self.median), self.spread))))
            seconds = (0.2 + length / chance.uniform(100, 200)) / self.speed
            words = f"{length} {seconds:.4f} question {len(found)} " + "what is known about it? " * 100
            found.append(words[: chance.randint(200, 2400)])
            left -= length + prompt_tokens(found[-1])
        return found


def prompt_tokens(text: str) -> int:
    """As many as the gateway charges for a question."""
    return 7 + len(text) // 4


async def answer(body: dict[str, Any], n: int) -> Reply:
    """The gateway's rule: as many tokens, and as late, as the question says. They are charged when it returns."""
    text = body["messages"][-1]["content"]
    length, seconds = text.split()[:2]
    await asyncio.sleep(float(seconds))
    prompt, written = prompt_tokens(text), int(length)
    with open(os.environ[CHARGES], "a", encoding="utf-8") as file:
        file.write(f"{time.time()} {prompt + written}\n")
    usage = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
    return Reply(content="fine", usage=usage)


@dataclass(frozen=True)
class Result:
    """How it went; seconds are the gateway's own.

    Args:
        shares: of the allowance, used in each window at whose end there still were calls to send.
        seconds: from the first request to the last answer.
        least: seconds that the windows allow.
    """

    load: Load
    shares: Sequence[float]
    seconds: float
    least: float
    counts: Counts

    @property
    def refused(self) -> float:
        """Share of the requests that were answered with 429."""
        chats = self.counts.routes["chat/completions"]
        return sum(count for kind, count in self.counts.kinds.items() if kind.startswith("429")) / chats

    def rows(self) -> dict[str, object]:
        """Names and figures."""
        return {
            "seed": self.load.seed,
            "calls": self.counts.answered,
            "least used, % of a window": 100 * min(self.shares),
            "mean": 100 * fmean(self.shares),
            "most": 100 * max(self.shares),
            "answered 429, %": 100 * self.refused,
            "seconds": self.seconds,
            "least seconds": self.least,
        }


def measure(load: Load) -> Result:
    """Run it against a gateway of its own."""
    options = {"--tokens-per-minute": load.per_minute, "--requests-per-second": load.per_second, "--speed": load.speed}
    words = [str(word) for pair in options.items() for word in pair]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        charges = folder / "charges"
        with (
            mock.patch.dict(os.environ, {CHARGES: str(charges)}),
            GatewayProcess("--rule", "benchmarks.waiting:answer", *words) as gateway,
        ):
            _ask(folder, load, str(gateway.write_endpoint(folder)))
            counts = gateway.counts
        charged = [(float(at), int(tokens)) for at, tokens in map(str.split, charges.read_text().splitlines())]
        return _result(load, charged, counts)


def _ask(folder: Path, load: Load, endpoint: str) -> None:
    rows = [json.dumps({"text": text}) + "\n" for text in load.questions()]
    (folder / "questions.jsonl").write_text("".join(rows), encoding="utf-8")
    (folder / "uneven.yaml").write_text(STUDY, encoding="utf-8")
    workflow = Workflow.load(folder / "uneven.yaml")
    with running_at(load.speed):
        run = workflow.run(endpoint=endpoint, runs_dir=folder / "runs")
    assert run.status == "done", run.state.reason


def _result(load: Load, charged: list[tuple[float, int]], counts: Counts) -> Result:
    """Sort charges into windows, each of which begins with the first charge after the last one's end."""
    length = WINDOW / load.speed
    windows: list[list[float]] = []
    for at, tokens in charged:
        if not windows or at >= windows[-1][0] + length:
            windows.append([at, 0])
        windows[-1][1] += tokens
    # the longest answer may come so long after the last call was sent
    end = charged[-1][0] - (0.2 + LONGEST / 100) / load.speed
    full = [used for start, used in windows if start + length < end]
    least = rates.Load(per_minute=load.per_minute, per_second=load.per_second)
    return Result(
        load,
        shares=[used / load.per_minute for used in full],
        seconds=(charged[-1][0] - charged[0][0]) * load.speed,
        least=least.least_seconds(tokens for _, tokens in charged),
        counts=counts,
    )


def section(results: Sequence[Result]) -> Section:
    """For RESULTS.md."""
    rows = [result.rows() for result in results]
    load = results[0].load
    return Section(
        name="waiting",
        title="Tokens a minute, with answers of very uneven length",
        columns=tuple(rows[0]),
        rows=[tuple(row.values()) for row in rows],
        remarks=(
            f"{load.per_minute:,} tokens a minute and {load.per_second} requests a second; answers of 10 to 4,000"
            f" tokens, half of them below {load.median}, at 100 to 200 a second. The gateway looks before a call and"
            " charges after it, so a window may be used beyond its allowance, which costs nothing. The last window,"
            " in which the questions run out, is left out. Seconds are the gateway's.",
        ),
    )


def main() -> None:
    """Measure, and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--speed", type=float, help="of the gateway's clock")
    parser.add_argument("--small", action="store_true", help="one seed, in less than half a minute; nothing is saved")
    given = parser.parse_args()
    results = []
    for seed in range(1 if given.small else given.seeds):
        # the faster the clock, the more of its seconds is a delay of this machine, which moves requests closer together
        result = measure(Load(seed=seed, speed=given.speed or (20.0 if given.small else 5.0)))
        results.append(result)
        windows = ", ".join(f"{share:.2f}" for share in result.shares)
        print(table({**result.rows(), "each window": windows, "answers by kind": result.counts.kinds}), end="\n\n")
    if not given.small:
        save(section(results))


if __name__ == "__main__":
    main()
