"""What the peers share: questions come as JSON Lines of `name` and `text`, and answers go the same way.

Each peer is a script: ``python PEER.py --url URL --questions FILE --out FILE --in-flight N``. It stands alone, so that
it runs in an environment that has its own library and little else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

MODEL = "gpt-oss-120b"
MAX_TOKENS = 400


@dataclass(frozen=True)
class Job:
    """What to ask.

    Attributes:
        url: the `base_url` of an OpenAI-compatible server that wants no key.
        questions: texts by name.
        in_flight: most questions at a time.
    """

    url: str
    questions: Mapping[str, str]
    in_flight: int
    _out: Path

    @classmethod
    def from_arguments(cls) -> Job:
        """From the command line."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--url", required=True)
        parser.add_argument("--questions", type=Path, required=True)
        parser.add_argument("--out", type=Path, required=True)
        parser.add_argument("--in-flight", type=int, default=256)
        given = parser.parse_args()
        with given.questions.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        return cls(given.url, {row["name"]: row["text"] for row in rows}, given.in_flight, given.out)

    def write(self, answers: Mapping[str, str]) -> None:
        """Write answers, by the name of their question."""
        with self._out.open("w", encoding="utf-8") as out:
            for name, text in answers.items():
                out.write(json.dumps({"name": name, "text": text}) + "\n")


async def ask_each(job: Job, ask: Callable[[str], Awaitable[str]]) -> dict[str, str]:
    """Ask all questions, so many at a time as the job allows."""
    answers: dict[str, str] = {}
    left = iter(job.questions.items())

    async def work() -> None:
        for name, text in left:
            answers[name] = await ask(text)

    await asyncio.gather(*(work() for _ in range(job.in_flight)))
    return answers
