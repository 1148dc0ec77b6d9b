"""What the benchmarks share: many questions asked by one whole run, and what its record then holds."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from metis_flow import Workflow
from metis_flow.api import Run
from metis_flow.inference.clock import WallClock
from metis_flow.record.journal import read_journal

MODEL = "gpt-oss-120b"
STUDY = f"""\
version: 1
name: questions
params:
  questions: {{type: path, default: questions.jsonl}}
model: {{name: {MODEL}, temperature: 0, max_tokens: 400}}
steps:
  load:
    uses: read_rows
    with: {{path: "${{{{ params.questions }}}}"}}
  ask:
    foreach: ${{{{ steps.load.output }}}}
    as: row
    key: ${{{{ row.name }}}}
    chat: ${{{{ row.text }}}}
    on_error: continue
"""


@contextmanager
def running_at(speed: float) -> Iterator[None]:
    """Clocks made in the block are as fast as those of a gateway of this speed."""
    with mock.patch.object(WallClock.__init__, "__defaults__", (speed,)):
        yield


@dataclass(frozen=True)
class Recorded:
    """What one run took, and what its record holds of each question.

    Args:
        run: the run.
        seconds: from its call to its return.
        answers: texts recorded for each question.
        failed: questions that have no answer, with the summary of the error.
        retries: calls sent again, by the kind of what went wrong.
        calls: answers that the run says it paid for.
        tokens: of each answer, in the order of the journal.
    """

    run: Run
    seconds: float
    answers: Mapping[str, Sequence[str]]
    failed: Mapping[str, str]
    retries: Mapping[str, int]
    calls: int
    tokens: Sequence[int]

    def lost(self, questions: Mapping[str, str]) -> int:
        """Questions without an answer."""
        return sum(name not in self.answers for name in questions)

    def wrong(self, questions: Mapping[str, str]) -> int:
        """Answers that are not those of their question; the gateway repeats the first 400 characters of it."""
        return sum(
            text != f"You said: {questions[name][:400]}" for name, texts in self.answers.items() for text in texts
        )

    @property
    def doubled(self) -> int:
        """Answers recorded beyond the first of each question."""
        return sum(len(texts) - 1 for texts in self.answers.values())


def ask_all(folder: Path, questions: Mapping[str, str], endpoint: str, *, speed: float = 1.0) -> Recorded:
    """Run a workflow that asks these questions.

    Args:
        folder: where the workflow and its record are made.
        questions: by name.
        endpoint: the path of its file.
        speed: of the gateway's clock.
    """
    rows = [json.dumps({"name": name, "text": text}) + "\n" for name, text in questions.items()]
    (folder / "questions.jsonl").write_text("".join(rows), encoding="utf-8")
    (folder / "questions.yaml").write_text(STUDY, encoding="utf-8")
    workflow = Workflow.load(folder / "questions.yaml")
    began = time.monotonic()
    with running_at(speed):
        watch = _Watch()
        run = workflow.run(endpoint=endpoint, runs_dir=folder / "runs", on_start=watch.start)
    return _read(run, time.monotonic() - began, watch.retries())


class _Watch:
    """Asks a run's limiter, at its end, what it had to send again."""

    def start(self, progress: Any) -> None:
        self._progress = progress

    def retries(self) -> dict[str, int]:
        snapshot = self._progress.limiter()
        return dict(sorted(snapshot.retries.items()))


def _read(run: Run, seconds: float, retries: Mapping[str, int]) -> Recorded:
    answers: dict[str, list[str]] = {}
    failed: dict[str, str] = {}
    tokens: list[int] = []
    for entry in read_journal(run.folder.journal):
        if entry.get("step") != "ask":
            continue
        if entry["e"] == "done":
            answers.setdefault(entry["key"], []).append(entry["output"])
            tokens.append(entry["call"]["usage"]["total_tokens"])
        elif entry["e"] == "failed":
            failed[entry["key"]] = entry["error"]["summary"]
    return Recorded(run, seconds, answers, failed, retries, run.state.calls, tokens)


def table(rows: Mapping[str, object]) -> str:
    """Lines of names and values."""
    width = max(map(len, rows))
    return "\n".join(f"{name:{width}}  {_shown(value)}" for name, value in rows.items())


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping | Counter):
        return ", ".join(f"{name} {count:,}" for name, count in sorted(value.items())) or "none"
    return str(value)
