"""Whether a run that is killed again and again loses, spoils or doubles an answer.

``python -m benchmarks.chaos --rounds 50`` kills the driver of a workflow of three steps and 200 items with SIGKILL, 50
times, at moments that a seed decides: while it starts, between two answers, while it ends. Each time it is resumed. A
run that reaches its end is compared with one that nobody disturbed, and the next one begins in a folder of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.kills import Ended, History, Killed
from benchmarks.whole_run import MODEL, table
from metis_flow.record.folder import RunFolder, named_runs
from metis_flow.record.journal import read_journal
from metis_flow.testing import Gateway

COMMAND = (sys.executable, "-m", "metis_flow.cli")
ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120.0
STUDY = f"""\
version: 1
name: chaos
model: {MODEL}
steps:
  first:
    foreach: ${{{{ range(ITEMS) }}}}
    key: n${{{{ item }}}}
    chat: Number ${{{{ item }}}}?
  turned:
    foreach: ${{{{ steps.first.results }}}}
    python: turning:turned
    with: {{text: "${{{{ item.output }}}}"}}
  second:
    foreach: ${{{{ steps.turned.results }}}}
    chat: And ${{{{ item.output }}}}?
  gathered:
    python: turning:gathered
    with: {{texts: "${{{{ steps.second.outputs }}}}"}}
outputs:
  second: ${{{{ steps.second.outputs }}}}
  gathered: ${{{{ steps.gathered.output }}}}
"""
TURNING = """\
def turned(text):
    return text.upper()


def gathered(texts):
    return {str(n): text for n, text in enumerate(texts)}
"""


@dataclass(frozen=True)
class Load:
    """How much is asked, and how often the driver is killed.

    Args:
        rounds: kills.
        items: of the workflow; each asks two questions.
        in_flight: calls at once.
        latency: seconds that an answer takes.
        seed: of the moments.
    """

    rounds: int = 50
    items: int = 200
    in_flight: int = 16
    latency: float = 0.05
    seed: int = 7

    @property
    def questions(self) -> int:
        """Different ones, of a whole run."""
        return 2 * self.items

    def outputs(self) -> dict[str, Any]:
        """Those of the workflow."""
        texts = [answer(f"And {answer(f'Number {n}?').upper()}?") for n in range(self.items)]
        return {"second": texts, "gathered": {str(n): text for n, text in enumerate(texts)}}


@dataclass(frozen=True)
class Moment:
    """When to kill a driver.

    Args:
        name: ``starting``, ``answering`` or ``ending``.
        answers: once it has had so many, or all that it needs.
        share: of the seconds that `WITHIN` gives, after that.
    """

    name: str
    answers: int
    share: float

    @classmethod
    def some(cls, load: Load, chance: random.Random) -> Iterator[Moment]:
        """Moments without end; a run has time for several of them."""
        most = max(2 * load.in_flight, load.questions // min(load.rounds, 20))
        while True:
            name = chance.choices(["starting", "answering", "ending"], [2, 7, 1])[0]
            answers = {"starting": 0, "answering": chance.randint(1, most), "ending": load.questions}
            yield cls(name, answers[name], chance.random())


WITHIN = {"starting": 2.0, "answering": 0.05, "ending": 0.5}


@dataclass(frozen=True)
class Result:
    """All runs.

    Args:
        calm: the one that nobody disturbed.
        histories: the others.
    """

    load: Load
    calm: History
    histories: tuple[History, ...]
    seconds: float

    @property
    def unlike(self) -> int:
        """Runs whose outputs are not byte for byte those of the calm one."""
        return sum(history.end.outputs != self.calm.end.outputs for history in self.histories)

    def kills(self) -> list[Killed]:
        """Of all runs."""
        return [kill for history in self.histories for kill in history.kills]

    def amiss(self) -> list[str]:
        """What no kill explains."""
        return [line for history in (self.calm, *self.histories) for line in history.amiss(self.load.in_flight)]


def answer(question: str) -> str:
    """What the gateway says, to the same question always the same."""
    return f"{hashlib.sha256(question.encode()).hexdigest()[:12]}, as to {question[:40]}"


@dataclass
class Asked:
    """The gateway's rule: answers, and keeps what each driver asked."""

    drivers: list[list[str]] = field(default_factory=lambda: [[]])

    def __call__(self, body: dict[str, Any], n: int) -> str:
        question: str = body["messages"][-1]["content"]
        self.drivers[-1].append(question)
        return answer(question)


class Victims:
    """The drivers of one run, one after the other, in a folder of its own.

    Args:
        folder: the run's runs folder is made in it.
        gateway: whom they ask.
        asked: its rule.
    """

    def __init__(self, folder: Path, load: Load, gateway: Gateway, asked: Asked) -> None:
        gateway.reset()
        folder.mkdir()
        (folder / "chaos.yaml").write_text(STUDY.replace("ITEMS", str(load.items)), encoding="utf-8")
        (folder / "turning.py").write_text(TURNING, encoding="utf-8")
        limits = {"timeout": "120s", "concurrency": load.in_flight}
        gateway.write_endpoint(folder, "near", limits=limits)
        self._folder, self._load, self._gateway, self._asked = folder, load, gateway, asked
        self._before: set[str] = set()
        self._kills: list[Killed] = []

    @property
    def run(self) -> RunFolder | None:
        """The run, once it has a journal that can be gone on with."""
        for folder in named_runs(self._folder / "runs"):
            if any(folder.journal.glob("*.jsonl")):
                return folder
        return None

    def history(self, moments: Iterator[Moment], rounds: int) -> History:
        """Kill so many drivers at most, and let the last one come to its end."""
        while len(self._kills) < rounds:
            process = self._start()
            try:
                moment = next(moments)
                self._wait(process, moment)
                if process.poll() is not None:
                    return History(tuple(self._kills), self._end(process))
            finally:
                process.kill()
            process.communicate()
            self._kills.append(self._note(moment.name))
        process = self._start()
        try:
            return History(tuple(self._kills), self._end(process))
        finally:
            process.kill()

    def _start(self) -> subprocess.Popen[str]:
        self._asked.drivers.append([])
        words = ["resume", "last"] if self.run is not None else ["run", "chaos.yaml", "--endpoint", "near"]
        return subprocess.Popen(
            [*COMMAND, *words, "--json"],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _wait(self, process: subprocess.Popen[str], moment: Moment) -> None:
        """Wait for the moment, or for the end of a driver that has nothing left to ask."""
        if not self._left():
            process.wait(PATIENCE)
            return
        base = self._gateway.counts.answered
        end = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < end:
            now = self._gateway.counts
            if now.answered - base >= moment.answers or not (self._left() or now.in_flight):
                break
            time.sleep(0.002)
        time.sleep(WITHIN[moment.name] * moment.share)

    def _left(self) -> int:
        """Questions without an answer in the journal that the driver has not asked yet."""
        kept = self._kills[-1].kept if self._kills else frozenset()
        return self._load.questions - len(kept.union(self._asked.drivers[-1]))

    def _note(self, moment: str) -> Killed:
        """What the driver leaves behind; what it had sent reaches the gateway all the same."""
        self._gateway.wait_for(lambda counts: counts.in_flight == 0, seconds=PATIENCE)
        asked, again = self._asks()
        return Killed(moment, asked, again, frozenset(self._kept()))

    def _end(self, process: subprocess.Popen[str]) -> Ended:
        _, err = process.communicate(timeout=PATIENCE)
        asked, again = self._asks()
        assert self.run is not None, err
        written = self.run.outputs / "outputs.json"
        outputs = written.read_bytes() if written.exists() else b""
        done = [(e["step"], e.get("key")) for e in read_journal(self.run.journal) if e["e"] == "done"]
        paid_again = self._gateway.counts.repeated
        return Ended(asked, again, process.returncode, outputs, len(done) - len(set(done)), paid_again, err)

    def _asks(self) -> tuple[tuple[str, ...], frozenset[str]]:
        asked = tuple(self._asked.drivers[-1])
        again = frozenset(self._before.intersection(asked))
        self._before.update(asked)
        return asked, again

    def _kept(self) -> Iterator[str]:
        """Questions whose answer the journal holds."""
        if self.run is not None:
            for entry in read_journal(self.run.journal):
                if entry["e"] == "done" and "call" in entry:
                    yield entry["call"]["messages"][-1]["content"]


def measure(folder: Path, load: Load) -> Result:
    """Kill so many drivers against a gateway that counts."""
    began, asked = time.monotonic(), Asked()
    moments = Moment.some(load, random.Random(load.seed))
    with Gateway(asked, limits=None, latency=load.latency) as gateway:
        calm = Victims(folder / "calm", load, gateway, asked).history(moments, 0)
        histories: list[History] = []
        left = load.rounds
        while left:
            history = Victims(folder / f"run-{len(histories)}", load, gateway, asked).history(moments, left)
            histories.append(history)
            left -= len(history.kills)
    return Result(load, calm, tuple(histories), time.monotonic() - began)


def report(result: Result) -> str:
    """The figures as lines."""
    kills = result.kills()
    return table(
        {
            "rounds": len(kills),
            "killed while": Counter(kill.moment for kill in kills),
            "runs": len(result.histories),
            "questions of a run": result.load.questions,
            "asked again": sum(history.asked_again for history in result.histories),
            "of these answered before": sum(history.end.paid_again for history in result.histories),
            "in flight at the kills": sum(history.in_flight for history in result.histories),
            "most at one kill": max((len(kill.in_flight) for kill in kills), default=0),
            "outputs unlike": result.unlike,
            "seconds": result.seconds,
            "amiss": "; ".join(result.amiss()) or "nothing",
        }
    )


def main() -> int:
    """Kill, and print a table; 1 if something is amiss."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7, help="of the moments")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), Load(arguments.rounds, arguments.items, seed=arguments.seed))
        print(report(result))
        return 1 if result.amiss() or result.unlike else 0


if __name__ == "__main__":
    sys.exit(main())
