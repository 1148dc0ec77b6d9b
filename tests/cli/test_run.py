"""`metis-flow run`, in a process of its own, against a real server on this machine."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Cli, write_endpoint

from metis_flow.testing import Gateway

STUDY = """\
version: 1
name: study
params:
  words: {type: array, default: [one, two, three]}
  factor: {type: number, default: 2}
  table: {type: path, default: table.txt}
endpoint: near
model: {temperature: 0, max_tokens: 20}
steps:
  ask:
    foreach: ${{ params.words }}
    as: word
    key: ${{ word }}
    chat: How long is ${{ word }}?
    output: {length: integer}
  weigh:
    python: study_tasks:weigh
    with: {answers: "${{ steps.ask.outputs }}", factor: "${{ params.factor }}"}
  list:
    stdin: ${{ params.table }}
    run: tee copy.txt
outputs:
  sum: ${{ steps.weigh.output.sum }}
  rows: ${{ steps.weigh.output.rows }}
  text: ${{ steps.list.output }}
"""
TASKS = """\
import atexit
import os
import sys

print("imported")
atexit.register(print, "at the very end")


def weigh(answers, factor):
    print("from Python")
    os.write(1, b"from the descriptor\\n")
    os.system("echo from a child")
    rows = [{"length": answer["length"], "weight": answer["length"] * factor} for answer in answers]
    return {"sum": sum(row["weight"] for row in rows), "rows": rows}
"""


def lengths(body: dict[str, Any], n: int) -> str:
    word = body["messages"][-1]["content"].removeprefix("How long is ").rstrip("?")
    return json.dumps({"length": len(word)})


@pytest.fixture
def study(cli: Cli) -> Iterator[Cli]:
    """A folder with a study, and a server that answers it."""
    cli.write("study.yaml", STUDY)
    cli.write("study_tasks.py", TASKS)
    with Gateway(lengths, limits=None) as gateway:
        write_endpoint(gateway, cli.folder)
        yield cli


def only_run(folder: Path) -> Path:
    (run,) = (folder / "runs").iterdir()
    return run


def test_a_run_prints_its_outputs_and_tells_the_rest_on_stderr(study: Cli) -> None:
    ended = study("run", "study.yaml")
    run = only_run(study.folder)
    assert ended.code == 0
    assert "sum: 22.0\n" in ended.out
    assert (
        "rows:\n  - {length: 3, weight: 6.0}\n  - {length: 3, weight: 6.0}\n  - {length: 5, weight: 10.0}\n"
        in ended.out
    )
    assert f"text: {study.folder}/table.txt\n" in ended.out
    assert re.search(rf"^{run.name}: done after [0-9.]+m?s; calls: 3, \d+ tokens \(\d+ in, \d+ out\)$", ended.err, re.M)
    assert f"record: runs/{run.name}\n" in ended.err
    assert f"next: metis-flow show {run.name}\n" in ended.err
    for line in ("ask: begins, 3 in all", "ask: done, 3/3", "weigh: begins", "weigh: done, 1/1"):
        assert f"{line}\n" in ended.err
    assert "\x1b" not in ended.out + ended.err


def test_json_is_one_document_whatever_is_printed_meanwhile(study: Cli) -> None:
    ended = study("run", "study.yaml", "--json")
    document = ended.document
    assert ended.code == 0
    assert set(document) == {"run", "status", "outputs", "steps", "calls", "cached", "usage", "seconds", "record"}
    assert document["run"] == only_run(study.folder).name
    assert document["status"] == "done"
    assert document["outputs"]["sum"] == 22.0
    assert document["steps"]["ask"] == {"done": 3, "failed": 0, "skipped": 0, "cached": 0}
    assert document["calls"] == 3
    assert set(document["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert document["record"] == str(only_run(study.folder))
    for line in ("imported", "from Python", "from the descriptor", "from a child", "at the very end"):
        assert f"{line}\n" in ended.err


def test_limit_cuts_the_first_fan_out(study: Cli) -> None:
    done = study("run", "study.yaml", "--limit", "2", "--json")
    assert done.document["steps"]["ask"]["done"] == 2
    assert "without --limit: about " in done.err


def test_records_are_made_in_the_folder_that_is_given(study: Cli) -> None:
    ended = study("run", "study.yaml", "--runs-dir", "else where")
    (run,) = (study.folder / "else where").iterdir()
    assert f"record: else where/{run.name}\n" in ended.err
    command = f"metis-flow show '{run}'"
    assert f"next: {command}\n" in ended.err
    assert study("show", run, "--json").document["run"] == run.name
    assert not (study.folder / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "summary", "hint"),
    [
        (["--endpoint", "nar"], "there is no endpoint 'nar'", "did you mean 'near'?"),
        (["--site", "locl"], "there is no site 'locl'", "did you mean 'local'?"),
    ],
)
def test_a_wrong_option_is_told_before_anything_starts(
    study: Cli, arguments: list[str], summary: str, hint: str
) -> None:
    ended = study("run", "study.yaml", *arguments, "--json")
    assert ended.code == 2
    assert ended.document["error"]["summary"] == summary
    assert ended.document["error"]["hint"] == hint
    assert not (study.folder / "runs").exists()


def test_a_chat_without_an_endpoint_is_refused_with_the_choices(cli: Cli) -> None:
    cli.write("w.yaml", "version: 1\nname: w\nsteps: {ask: {chat: hello}}\n")
    ended = cli("run", "w.yaml", "--json")
    assert ended.code == 2
    assert ended.document["error"]["summary"] == "the workflow has chat steps, and no endpoint is named"
    assert "embedded" in ended.document["error"]["hint"]


def test_the_embedded_model_answers_itself(cli: Cli, repository: Path) -> None:
    ended = cli("run", repository / "workflows" / "hello.yaml", "--endpoint", "embedded", "--json")
    document = ended.document
    assert ended.code == 0
    assert document["calls"] == 1
    assert document["usage"]["completion_tokens"] > 0
    assert document["outputs"]["shouted"] == document["outputs"]["greeting"].upper()


def test_nobody_reading_the_outputs_does_not_change_how_a_run_ends(cli: Cli) -> None:
    cli.write("w.yaml", "version: 1\nname: w\nsteps: {a: {run: seq 99}}\noutputs: {a: '${{ steps.a.output }}'}\n")
    process = cli.start("run", "w.yaml", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0
    assert "record: " in errors
    assert "BrokenPipe" not in errors
    assert "Traceback" not in errors
