"""Who is compared: each as a command that asks questions of a server and leaves the answers in a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benchmarks.environments import Environment
from benchmarks.server import LoopbackServer
from benchmarks.whole_run import STUDY
from metis_flow.record.journal import read_journal

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peers"
# Lists and data sets that libraries fetch when they are imported.
_LOCAL = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "TZ")


@dataclass(frozen=True)
class Task:
    """What a peer is asked to do.

    Args:
        folder: of its own, empty.
        server: whom to ask.
        questions: texts by name.
        in_flight: most questions at a time.
    """

    folder: Path
    server: LoopbackServer
    questions: Mapping[str, str]
    in_flight: int

    @property
    def questions_file(self) -> Path:
        return self.folder / "questions.jsonl"

    @property
    def answers_file(self) -> Path:
        return self.folder / "answers.jsonl"

    @property
    def said(self) -> Path:
        """The file of what the peer prints."""
        return self.folder / "said.txt"

    def write(self) -> None:
        """Write the questions."""
        rows = ({"name": name, "text": text} for name, text in self.questions.items())
        self.questions_file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@dataclass(frozen=True)
class Peer:
    """A script of `peers/`.

    Args:
        name: for ``--only``.
        what: for the table.
        script: see `peers/job.py` for its command line.
        calls: a round; fewer for the slow, whose rate is seen as well.
        small: the same for ``--small``; 0 where it has no part in that.
        environment: where it runs; None for that of metis-flow.
        packages: whose versions are told.
        most: in flight, where that is not what the others have.
        variables: of its process, besides a few of the user's.
    """

    name: str
    what: str
    script: Path
    calls: int = 8000
    small: int = 0
    environment: Environment | None = None
    packages: tuple[str, ...] = ()
    most: int | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make what it needs.

        Raises:
            NotInstalled: that cannot be had here.
        """
        if self.environment is not None:
            self.environment.make()

    def command(self, task: Task) -> list[str]:
        """What to run; writes what that reads."""
        task.write()
        python = sys.executable if self.environment is None else str(self.environment.python)
        places = ("--questions", str(task.questions_file), "--out", str(task.answers_file))
        return [python, str(self.script), "--url", task.server.url, *places, "--in-flight", str(task.in_flight)]

    def variables_for(self, task: Task) -> dict[str, str]:
        """All variables of its process: no proxies, no keys, and a home that is empty."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return kept | {"HOME": str(task.folder)} | dict(self.variables)

    def answers(self, task: Task) -> dict[str, str]:
        """What it left, by the name of the question."""
        try:
            lines = task.answers_file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        return {row["name"]: row["text"] for row in map(json.loads, lines)}

    @cached_property
    def versions(self) -> dict[str, str]:
        """Versions of its packages."""
        if self.environment is None:
            return {}
        told = subprocess.run(
            [self.environment.python, "-c", _VERSIONS, *self.packages], capture_output=True, text=True, check=True
        )
        versions: dict[str, str] = json.loads(told.stdout)
        return versions


_VERSIONS = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


class MetisFlow(Peer):
    """A whole `metis-flow run` of a workflow that reads rows and asks one question of each, with its record."""

    def command(self, task: Task) -> list[str]:
        task.write()
        (task.folder / "questions.yaml").write_text(STUDY, encoding="utf-8")
        endpoint = task.server.write_endpoint(task.folder, concurrency=task.in_flight)
        options = ("--endpoint", str(endpoint), "--runs-dir", str(task.folder / "runs"))
        return [sys.executable, "-m", "metis_flow.cli", "run", str(task.folder / "questions.yaml"), *options]

    def variables_for(self, task: Task) -> dict[str, str]:
        return super().variables_for(task) | {"PYTHONPATH": str(ROOT)}

    def answers(self, task: Task) -> dict[str, str]:
        journals = (task.folder / "runs").glob("*/journal")
        entries = (entry for journal in journals for entry in read_journal(journal))
        return {entry["key"]: entry["output"] for entry in entries if entry["e"] == "done" and entry["step"] == "ask"}


def all_peers() -> list[Peer]:
    """Ours, the bare loops, Parsl, libraries that are made for this, the floor, and the server itself."""
    return [
        MetisFlow("metis-flow", "metis-flow run, its journal on", Path(), small=1000),
        Peer("post", "AsyncOpenAI.post on aiohttp, plain JSON", PEERS / "openai_post.py", small=1000),
        Peer("create", "AsyncOpenAI as it comes", PEERS / "openai_create.py", 2000, small=400),
        # More threads make no more clients a second; they only begin with a longer wait.
        Peer("parsl-naive", "Parsl, 32 threads, a client a call", PEERS / "parsl_naive.py", 500, small=64, most=32),
        Peer("parsl-shared", "Parsl, threads, one client", PEERS / "parsl_shared.py", 2000, small=300),
        Peer(
            "curator",
            "curator",
            PEERS / "curator_llm.py",
            4000,
            environment=_environment("curator"),
            packages=("bespokelabs-curator", "litellm"),
            variables={"CURATOR_DISABLE_CACHE": "true", "TELEMETRY_ENABLED": "false"} | _LOCAL,
        ),
        Peer(
            "langgraph",
            "LangGraph, on aiohttp",
            PEERS / "langgraph_batch.py",
            3000,
            environment=_environment("langgraph"),
            packages=("langgraph", "langchain-openai"),
            variables={"LANGSMITH_TRACING": "false"},
        ),
        Peer(
            "distilabel",
            "distilabel",
            PEERS / "distilabel_pipeline.py",
            2000,
            environment=_environment("distilabel"),
            packages=("distilabel",),
            variables={"DISTILABEL_LOG_LEVEL": "WARNING"} | _LOCAL,
        ),
        Peer("aiohttp", "raw aiohttp, no library", PEERS / "raw_aiohttp.py", small=2000),
        Peer("server", "the server itself, by raw sockets", PEERS / "raw_sockets.py", 20_000, small=5000, most=1024),
    ]


def _environment(name: str) -> Environment:
    return Environment(name, PEERS / f"requirements-{name}.txt")
