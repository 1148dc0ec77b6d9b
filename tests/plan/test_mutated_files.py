"""Damaged copies of the example workflows: each is taken or refused with a place, and nothing else happens."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metis_flow.errors import ParameterError, WorkflowInvalid
from metis_flow.plan.plan import load_plan

EXAMPLES = Path(__file__).resolve().parents[2] / "workflows"
TEXTS = [path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.yaml"))]

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


@given(text=st.sampled_from(TEXTS), changes=MUTATIONS)
@settings(
    derandomize=True,
    database=None,
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_a_mutated_file_is_taken_or_refused_with_a_place(
    folder: Path, text: str, changes: list[tuple[str, int, int, str]]
) -> None:
    for change in changes:
        text = mutated(text, *change)
    path = folder / "mutated.yaml"
    path.write_bytes(text.encode())
    lines = re.split(r"\r\n|\r|\n", text)
    for where in places_of_mistakes(path):
        name, line, column = where.rsplit(":", 2)
        assert name == str(path)
        assert 1 <= int(column) <= len(lines[int(line) - 1]) + 1
