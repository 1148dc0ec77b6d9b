"""A folder with a workflow in it, run through the Python API against a gateway on loopback."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metis_flow import Workflow
from metis_flow.api import Run
from metis_flow.record.journal import read_journal
from metis_flow.testing import Gateway

MODEL = "gpt-oss-120b"
HEADER = f"version: 1\nname: trial\nmodel: {MODEL}\n"
Rule = Callable[[dict[str, Any], int], Any]


def echo(body: dict[str, Any], n: int) -> Any:
    """The last message, as it was asked."""
    return said(body)


def said(body: Mapping[str, Any]) -> str:
    """The text of the last message of a request."""
    text: str = body["messages"][-1]["content"]
    return text


@dataclass
class Answers:
    """The rule of a gateway that several tests share; each sets its own."""

    rule: Rule = echo

    def __call__(self, body: dict[str, Any], n: int) -> Any:
        return self.rule(body, n)


@dataclass
class Bench:
    """A folder for one test.

    Attributes:
        folder: the workflow's.
        gateway: who answers, as the endpoint `local`; None where the test has no chat step.
    """

    folder: Path
    gateway: Gateway | None = None
    answers: Answers = field(default_factory=Answers)

    def write(self, name: str, text: str) -> Path:
        """A file beside the workflow."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def workflow(self, text: str) -> Workflow:
        """The workflow of this text, which begins after the name and the model."""
        return Workflow.load(self.write("trial.yaml", HEADER + textwrap.dedent(text)))

    def run(self, text: str, params: Mapping[str, Any] | None = None, **options: Any) -> Run:
        """Run a workflow to its end."""
        options = {"runs_dir": self.folder / "runs", "endpoint": "local" if self.gateway else None} | options
        return self.workflow(text).run(params, **options)


def entries(run: Run, kind: str | None = None, step: str | None = None) -> list[dict[str, Any]]:
    """The journal, in order."""
    found = read_journal(run.folder.journal)
    return [e for e in found if kind in (None, e["e"]) and step in (None, e.get("step"))]


def rows(run: Run, step: str) -> dict[str | None, dict[str, Any]]:
    """How each instance of a step ended, by key."""
    return {row["key"]: row for row in run.rows(step)}


def statuses(run: Run, step: str) -> dict[str | None, str]:
    """The status of each instance of a step, by key."""
    return {key: row["status"] for key, row in rows(run, step).items()}


def counts(run: Run, step: str) -> tuple[int, int, int]:
    """Done, failed and skipped."""
    of = run.state.steps[step]
    return of.done, of.failed, of.skipped


def error_of(run: Run, step: str, key: str | None = None) -> dict[str, Any]:
    """The error of an instance that failed."""
    found: dict[str, Any] = next(e["error"] for e in entries(run, "failed", step) if e["key"] == key)
    return found
