"""Content keys: what changes them, and what must not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import StepFailed
from metis_flow.plan.content import ContentKey, Contents
from metis_flow.workflow.values import FileRef, PathParam

PARTS: dict[str, Any] = {
    "prompt": [{"role": "user", "content": "hi"}],
    "model": "m",
    "settings": {"temperature": 0, "seed": 1},
    "schema": {"type": "object"},
    "source": "ab12",
    "files": {"a": FileRef("/runs/1/a", "aa", 3)},
    "with": {"x": [1, 1.5, None, True, "é\ud800"], "r": range(3)},
}


def key(**changes: Any) -> ContentKey:
    return Contents().key({**PARTS, **changes})


CHANGES: list[dict[str, Any]] = [
    {"prompt": [{"role": "user", "content": "hi "}]},
    {"prompt": [{"role": "system", "content": "hi"}]},
    {"model": "n"},
    {"model": None},
    {"settings": {"temperature": 0, "seed": 2}},
    {"settings": {"temperature": 0}},
    {"settings": {"temperature": False, "seed": 1}},
    {"schema": None},
    {"source": "ab13"},
    {"files": {"a": FileRef("/runs/1/a", "ab", 3)}},
    {"files": {"b": FileRef("/runs/1/a", "aa", 3)}},
    {"files": {"a": {"\x00file": "aa", "more": 1}}},
    {"files": {"a": {"file": "aa"}}},  # an object that only looks like a file
    {"files": {"a": "aa"}},
    {"with": {"x": [1, 1.5, None, True, "é\ud800"], "r": range(4)}},
    {"with": {"x": [1, 1.5, None, True, "é\ud800"], "r": {"range": [0, 3, 1]}}},
    {"with": {"x": ["1", 1.5, None, True, "é\ud800"], "r": range(3)}},
    {"with": {"x": [1.5, 1, None, True, "é\ud800"], "r": range(3)}},
    {"one more": 1},
]


@pytest.mark.parametrize("change", CHANGES, ids=[f"{next(iter(change))} {n}" for n, change in enumerate(CHANGES)])
def test_what_changes_it(change: dict[str, Any]) -> None:
    first, second = key(), key(**change)
    assert first.digest != second.digest
    differing = {name for name in {*first.parts, *second.parts} if first.parts.get(name) != second.parts.get(name)}
    assert differing == set(change)


def test_what_does_not_change_it() -> None:
    assert Contents().key(dict(reversed(PARTS.items()))) == key()
    assert key(settings={"seed": 1, "temperature": 0}) == key()
    assert key(files={"a": FileRef("/elsewhere/b", "aa", 3)}) == key()  # a file is known by its content


def test_it_is_the_same_in_every_process() -> None:
    root = Path(__file__).resolve().parents[2]
    code = (
        "from metis_flow.plan.content import Contents\n"
        "print(Contents().key({'b': {'y': 1, 'x': ['\\u00e9']}, 'a': {'p': 0, 'q': None}}).digest)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": seed, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {Contents().key({"a": {"q": None, "p": 0}, "b": {"x": ["é"], "y": 1}}).digest}


def test_a_path_counts_by_what_the_file_holds(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text("a\n1\n")
    contents = Contents()

    def now(path: Path = file) -> str:
        return contents.key({"with": {"path": PathParam(path), "deep": [{"p": PathParam(path)}]}}).digest

    before = now()
    os.utime(file, ns=(1, 1))
    assert now() == before  # touched
    elsewhere = tmp_path / "copy"
    elsewhere.mkdir()
    (elsewhere / "in.csv").write_text("a\n1\n")
    assert now(elsewhere / "in.csv") == before  # moved
    file.write_text("a\n2\n")
    os.utime(file, ns=(2, 2))
    assert now() != before  # changed
    file.unlink()
    assert now() != before  # not there (yet)
    plain = Contents().key({"with": {"path": str(file)}})
    file.write_text("x")
    assert Contents().key({"with": {"path": str(file)}}) == plain  # an ordinary text is a text


def test_a_folder_counts_by_the_names_and_contents_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "a").write_text("1")
    contents = Contents()
    first = contents.file_hash(tmp_path / "d")
    assert contents.file_hash(tmp_path / "d") == first
    (tmp_path / "d" / "empty").mkdir()
    assert contents.file_hash(tmp_path / "d") == first
    (tmp_path / "d" / "sub" / "a").rename(tmp_path / "d" / "sub" / "b")
    second = contents.file_hash(tmp_path / "d")
    (tmp_path / "d" / "sub" / "b").write_text("12")
    assert len({first, second, contents.file_hash(tmp_path / "d")}) == 3


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StepFailed) as caught:
        Contents().file_hash(tmp_path / "no")
    assert caught.value.summary == f"cannot read '{tmp_path}/no': No such file or directory"


def test_the_parts_are_short_hashes() -> None:
    found = key()
    assert set(found.parts) == set(PARTS)
    assert {len(part) for part in found.parts.values()} == {16}
    assert len(found.digest) == 64


def test_hashes_that_are_known_already(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("one")
    parts = {**PARTS, "named": {"data": [PathParam(tmp_path / "data")]}}
    contents = Contents()
    known = contents.hashes(parts)
    assert known.keys() == PARTS.keys()  # what a path leads to may change while a run goes on
    assert contents.key(parts, known) == contents.key(parts) == Contents().key(parts)
    assert contents.key({**parts, "model": "n"}, known).digest == contents.key(parts).digest  # it is not hashed again
