"""Damaged copies of the example workflows: each is taken or refused with a place, and nothing else happens."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metis_flow.errors import ParameterError, WorkflowInvalid
from metis_flow.plan.plan import load_plan

EXAMPLES = Path(__file__).resolve().parents[2] / "workflows"
MAX_EXAMPLES = int(os.environ.get("MUTATED_FILES", "300"))
"""How many files are tried; more by hand: ``MUTATED_FILES=5000 pytest tests/plan/test_mutated_files.py``."""

# Every key of the language, beside files that it names.
WHOLE = """\
version: 1
name: whole
params: {n: {type: integer, default: 2, minimum: 0}, texts: {type: path, default: texts}}
model: {temperature: 0, extra: {top_k: 3}}
limits: {calls: 10}
include: [parts.yaml]
steps:
  ask:
    matrix: {model: [a, b], t: "${{ range(3) }}", include: [{model: a, note: x}], exclude: [{model: b}]}
    repeat: ${{ params.n }}
    key: ${{ matrix.model }}
    if: matrix.t != 1
    chat:
      system: {from: prompt.md}
      messages: [{from: examples.jsonl}, {role: user, content: hi}, "${{ steps.part.messages }}"]
      user: |
        ${% for x in range(2) %} ${{ x }} ${% endfor %}
      model: {name: "${{ matrix.model }}", seed: 1}
    output: {answer: string, n?: {type: integer, minimum: 0}}
    check: output.answer
    until: output.answer == previous.answer or round > 2
    max_rounds: 3
    repair: 1
    on_error: {continue: true, min_success: 0.5}
    retry: {attempts: 2, wait: 0, on: [inference, timeout]}
    timeout: 1:00:00
    max_parallel: 4
  again:
    foreach: ${{ steps.ask.results }}
    as: row
    repeat: 2
    chat: {messages: "${{ row.messages }}", user: "${{ row.output.answer }}"}
  files:
    foreach: {glob: "texts/*.txt"}
    run: wc -w "$1" > n.txt
    args: ["${{ item }}"]
    env: {KEY: "${{ key }}"}
    stdin: {a: [1, "${{ params.n }}"]}
    files: {in.json: "${{ key }}", p.md: {from: prompt.md}}
    secrets: [SOME_KEY]
    retry: {on: [137, shell]}
    cache: true
    executor: workers
    resources: {nodes: 1, ranks_per_node: 2, cores: 1, gpus: 1, memory: 1 GB}
    output: {text: n.txt, schema: {type: string}}
  child:
    foreach: [1, 2]
    workflow: child.yaml
    with: {n: "${{ item }}", note: x}
    until: output.y
    max_rounds: 2
  rows: {uses: read_rows, with: {path: "${{ params.texts }}"}, needs: [files], on_error: continue}
outputs: {all: "${{ steps.again.outputs }}", y: {z: "${{ steps.child.results }}"}}
"""
BESIDE = {
    "parts.yaml": "steps:\n  part:\n    chat: hello\n",
    "prompt.md": "You are ${{ params.n }} people.\n",
    "examples.jsonl": '{"user": "a", "assistant": "b"}\n',
    "texts/a.txt": "some words\n",
    "child.yaml": "version: 1\nname: child\nparams: {n: {type: integer}, note: {type: string, default: null}}\n"
    "steps:\n  a:\n    args: ['${{ params.n }}']\n    run: echo $1\noutputs: {y: '${{ steps.a.output }}'}\n",
}
TEXTS = [WHOLE, *(path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.yaml")))]

# What a value or a place in the text is overwritten with.
PIECES = (
    *(
        "null",
        "[]",
        "{}",
        "5",
        "-1",
        "true",
        "yes",
        "''",
        "text",
        "[1, 2]",
        "{a: b}",
        "{from: x}",
        "{schema: x}",
        "{glob: '*'}",
        "{attempts: 0}",
        "[{a: 1}, {b: 2}]",
        "child.yaml",
        "mutated.yaml",
        "[mutated.yaml]",
        "parts.yaml",
        "examples.jsonl",
        "1e999",
        ".nan",
    ),
    *(
        "${{ }}",
        "'${{ }}'",
        "${{ steps }}",
        "${{ item.x }}",
        "'${{ steps.ask.output }}'",
        "'${{ params.x }}'",
        "${{ matrix }}",
        "${{ matrix.x ~ repeat }}",
        "${{ previous.x }}",
        "${{ steps.part.messages }}",
        "[${{ round }}]",
        "${% if %}",
        "${{",
        "}}",
    ),
    *(
        "\t",
        "\r",
        "\n",
        "  ",
        "#",
        "|",
        ">",
        "'",
        '"',
        "- ",
        "? ",
        ": ",
        "*a",
        "&a ",
        "!t ",
        "<<: ",
        "---\n",
        "%",
        "@",
        "\x00",
        "\x1b",
        "\u2028",
        "é",
    ),
    "9" * 400,
)
MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["drop line", "repeat line", "swap lines", "set value", "drop characters", "put characters"]),
        st.integers(0, 10**6),
        st.integers(0, 10**6),
        st.sampled_from(PIECES),
    ),
    min_size=1,
    max_size=4,
)


def mutated(text: str, kind: str, one: int, other: int, piece: str) -> str:
    lines = text.split("\n")
    first, second = one % len(lines), other % len(lines)
    if kind == "drop line":
        del lines[first]
    elif kind == "repeat line":
        lines.insert(second, lines[first])
    elif kind == "swap lines":
        lines[first], lines[second] = lines[second], lines[first]
    elif kind == "set value":
        lines[first] = f"{lines[first].partition(':')[0]}: {piece}"
    else:
        at = one % (len(text) + 1)
        return text[:at] + ("" if kind == "drop characters" else piece) + text[at + other % 6 :]
    return "\n".join(lines)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutated") / "workflows"
    shutil.copytree(EXAMPLES, folder)
    for name, text in BESIDE.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def places_of_mistakes(path: Path) -> list[str]:
    """Where the mistakes of a file are; those on the command line, such as a parameter without value, left out."""
    try:
        load_plan(path)
    except WorkflowInvalid as error:
        error.render()
        return [str(problem.where) for problem in error.problems]
    except ParameterError:
        pass
    return []


@pytest.mark.timeout(max(120, MAX_EXAMPLES))
@given(which=st.sampled_from([*range(len(TEXTS)), "parts.yaml", "child.yaml"]), changes=MUTATIONS)
@settings(
    derandomize=True,
    database=None,
    max_examples=MAX_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_a_mutated_file_is_taken_or_refused_with_a_place(
    folder: Path, which: int | str, changes: list[tuple[str, int, int, str]]
) -> None:
    text = BESIDE[which] if isinstance(which, str) else TEXTS[which]
    for change in changes:
        text = mutated(text, *change)
    texts = {**BESIDE, which if isinstance(which, str) else "mutated.yaml": text}
    texts.setdefault("mutated.yaml", WHOLE)
    for name, content in texts.items():
        (folder / name).write_bytes(content.encode())
    for where in places_of_mistakes(folder / "mutated.yaml"):
        name, line, column = where.rsplit(":", 2)
        lines = re.split(r"\r\n|\r|\n", (folder / name).read_bytes().decode())
        assert 1 <= int(column) <= len(lines[int(line) - 1]) + 1


def test_the_whole_file_is_taken_as_it_is(folder: Path) -> None:
    for name, content in {**BESIDE, "mutated.yaml": WHOLE}.items():
        (folder / name).write_text(content, encoding="utf-8")
    assert places_of_mistakes(folder / "mutated.yaml") == []
