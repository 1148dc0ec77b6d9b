"""Real runs to look at: a survey with everything in it, and small studies whose answers a test decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metis_flow import Workflow
from metis_flow.api import Run
from metis_flow.record.folder import RunFolder
from metis_flow.testing import Gateway, Reply

SURVEY = r"""
version: 1
name: band_gaps
description: Band gaps that a model extracts from abstracts.
params:
  materials: {type: object, default: {silicon: 1.12, GaN: 3.4, diamond: 5.4, InSb: 0.17, unobtainium: 0}}
model: {name: gpt-oss-120b, temperature: 0, seed: 7}
steps:
  extract:
    foreach: ${{ params.materials }}
    chat:
      system: You extract facts from abstracts.
      user: What is the band gap of ${{ key }}?
    output: {material: string, gap: number}
    repair: 1
    on_error: continue
  relax:
    foreach: ${{ steps.extract.results }}
    as: hit
    if: hit.output.gap > 1
    env: {NAME: "${{ hit.output.material }}"}
    run: |
      test "$NAME" != GaN || { echo "no pseudopotential for Ga" >&2; exit 3; }
      echo "relaxed $NAME"
    on_error: continue
  plot:
    needs: [relax]
    files: {plot.py: {from: plot.py}, gaps.json: "${{ steps.extract.outputs }}"}
    run: python3 plot.py
    output: {path: gaps.png}
  summary:
    chat: Write a report about ${{ steps.extract.outputs | length }} gaps.
outputs:
  gaps: ${{ steps.extract.outputs }}
  figure: ${{ steps.plot.output }}
  summary: ${{ steps.summary.output }}
  found: ${{ steps.extract.outputs | length }}
"""
PLOT = """
import base64
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
open("gaps.png", "wb").write(base64.b64decode(PIXEL))
"""
MARKDOWN = "## Band gaps\n\nFour gaps are **known**:\n\n| material | gap |\n|---|---|\n| GaN | 3.4 |\n"


def survey_answer(body: Mapping[str, Any], n: int) -> Reply:
    """A wrong first answer for InSb, none for unobtainium, right ones for the others."""
    asked = next(message["content"] for message in body["messages"] if message["role"] == "user")
    again = len(body["messages"]) > 2
    if "report" in asked:
        return Reply(MARKDOWN, reasoning="I count the rows.")
    name = asked.split("band gap of ")[1].rstrip("?\n")
    gap = {"silicon": 1.12, "GaN": 3.4, "diamond": 5.4, "InSb": 0.17}.get(name)
    if gap is None:
        return Reply(f"I cannot say: {name} does not exist.", reasoning="It is fictional.")
    if name == "InSb" and not again:
        return Reply(json.dumps({"material": name, "gap": "0.17 to 0.23"}))
    return Reply(json.dumps({"material": name, "gap": gap}))


def run_survey(folder: Path) -> RunFolder:
    """The record of a run of the survey."""
    (folder / "survey.yaml").write_text(SURVEY, encoding="utf-8")
    (folder / "plot.py").write_text(PLOT, encoding="utf-8")
    with Gateway(rule=survey_answer, limits=None) as gateway:
        endpoint = gateway.write_endpoint(folder, "near", limits={"concurrency": 4}, model="gpt-oss-120b")
        run = Workflow.load(folder / "survey.yaml").run(endpoint=str(endpoint), runs_dir=folder / "runs")
    return run.folder


@dataclass
class Study:
    """A folder, and an endpoint that answers what the test says.

    Attributes:
        answer: from a request's body to the answer.
    """

    folder: Path
    answer: Callable[[Mapping[str, Any]], Any] = field(default=lambda body: "fine")
    endpoint: str = ""

    @classmethod
    @contextmanager
    def at(cls, folder: Path) -> Iterator[Study]:
        """A study for the length of the block."""
        study = cls(folder)
        with Gateway(rule=lambda body, n: study.answer(body), limits=None) as gateway:
            study.endpoint = str(
                gateway.write_endpoint(folder, "near", limits={"concurrency": 4}, model="gpt-oss-120b")
            )
            yield study

    def write(self, text: str, name: str = "study.yaml") -> Path:
        """A file of the study."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, text: str, **params: Any) -> Run:
        """Run a workflow."""
        path = self.write(text)
        return Workflow.load(path).run(params, endpoint=self.endpoint, runs_dir=self.folder / "runs")


HOSTILE: Mapping[str, str] = {
    "script": "<script>window.harmed = 1</script>",
    "end": "</script></pre><script>window.harmed = 1</script><!--",
    "image": "# One\n\n**<img src=x onerror='window.harmed = 1'>** and ![picture](http://127.0.0.1:9/x.png)\n\n- item",
    "link": "- **a** [click](javascript:window.harmed=1)\n- <a href='javascript:window.harmed=1'>here</a>",
    "svg": "<svg onload='window.harmed = 1'><style>body{display:none}</style></svg>",
    "escapes": "\x1b[2J\x1b]0;owned\x07red",
    "turned": "invoice\u202egnp.exe \u2066isolated",
    "zero": "before\0after",
    "formula": '=HYPERLINK("http://127.0.0.1:9/","click")',
    "template": "{{ 7 * 7 }} ${7 * 7} {% raw %}",
    "long": "a long text " * 90_000,
}
"""What models and data files may say."""

ECHO = """
version: 1
name: echo
description: "<script>window.harmed = 1</script>"
params: {things: {type: object}}
model: {name: gpt-oss-120b, temperature: 0}
steps:
  say:
    foreach: ${{ params.things }}
    key: ${{ item.key }}
    chat: ${{ item.text }}
  refuse:
    foreach: ${{ steps.say.results }}
    as: said
    chat: ${{ said.output }}
    output: {number: number}
    on_error: continue
  print:
    foreach: ${{ steps.say.results }}
    as: said
    if: said.key | length < 200
    stdin: ${{ said.output }}
    run: cat; cat >&2 <<< '<script>window.harmed = 1</script>'
outputs:
  all: ${{ steps.say.outputs }}
  one: ${{ steps.say.outputs[2] }}
  two: ${{ steps.say.outputs[3] }}
  rows: ${{ steps.say.results }}
"""


def run_hostile(folder: Path) -> RunFolder:
    """The record of a run in which keys, prompts, answers, outputs and errors are hostile."""
    things = {name: {"key": text if len(text) < 200 else name, "text": text} for name, text in HOSTILE.items()}
    with Study.at(folder) as study:
        study.answer = lambda body: body["messages"][-1]["content"]
        return study.run(ECHO, things=things).folder
