"""A record that somebody or something has spoilt: every command says what is wrong, and nothing is made worse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from acceptance_kit import Desk, Here

from metis_flow.api import Run
from metis_flow.record.folder import RunFolder

STEPS = """
make:
  foreach: [a, b, c]
  as: name
  key: ${{ name }}
  args: ["${{ name }}"]
  run: echo "made of $1" > out.txt; test ! -e ../../../../../fail
  output: {path: out.txt}
"""


@pytest.fixture
def run(desk: Desk, here: Here) -> RunFolder:
    """A run whose every instance has failed, and would not fail again."""
    (desk.folder / "fail").touch()
    ended = here("run", desk.workflow(STEPS, model=None), "--site", "local")
    assert ended.code == 1, ended.err
    (desk.folder / "fail").unlink()
    folder: RunFolder = Run.open("last", desk.folder / "runs").folder
    return folder


def edit(journal: Path) -> str:
    path = journal / "000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"items":3', b'"items":4')
    path.write_bytes(b"".join(lines))
    return f"{path}:3: the journal is damaged: a line is not as it was written"


def lose(journal: Path) -> str:
    (journal / "000001.jsonl").unlink()
    return f"{journal}: the journal is damaged: segment 000001.jsonl is missing"


def whole(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("spoil", [edit, lose])
def test_a_spoilt_journal_is_named_by_every_command_and_left_as_it_is(
    run: RunFolder, here: Here, spoil: Callable[[Path], str]
) -> None:
    text = spoil(run.journal)
    before = whole(run.path)
    for words in (["status"], ["show"], ["errors"], ["resume"], ["resume", "--failed"]):
        ended = here(words[0], "last", *words[1:])
        assert (ended.code, ended.out) == (2, ""), words
        assert text in ended.err
        assert "nothing was changed; bring the file back from a copy, or start a new run" in ended.err
        assert whole(run.path) == before


def test_a_spoilt_record_keeps_no_other_run_from_starting(run: RunFolder, desk: Desk, here: Here) -> None:
    edit(run.journal)
    before = whole(run.path)
    ended = here("run", desk.folder / "trial.yaml", "--site", "local")
    assert ended.code == 0, ended.err
    assert whole(run.path) == before


def test_a_link_in_the_place_of_a_steps_folder_is_not_followed(run: RunFolder, desk: Desk, here: Here) -> None:
    outside = desk.folder / "outside"
    (outside / "a").mkdir(parents=True)
    (outside / "a" / "out.txt").write_text("precious")
    step = run.steps / "make"
    step.rename(run.steps / ".aside")
    step.symlink_to(outside)
    before = whole(outside)
    ended = here("resume", "last", "--failed")
    assert ended.code == 1
    assert f"a folder belongs at {step}, and a symbolic link is in its place" in ended.err
    assert whole(outside) == before
    step.unlink()
    (run.steps / ".aside").rename(step)
    assert here("resume", "last", "--failed").code == 0


def test_a_link_in_the_place_of_an_instances_folder_is_not_followed(run: RunFolder, desk: Desk, here: Here) -> None:
    outside = desk.folder / "outside"
    outside.mkdir()
    (outside / "out.txt").write_text("precious")
    for name in "abc":
        folder = run.steps / "make" / name
        if folder.exists():
            folder.rename(run.steps / "make" / f".{name}.aside")
        folder.symlink_to(outside)
    before = whole(outside)
    ended = here("resume", "last", "--failed")
    assert whole(outside) == before
    assert ended.code == 1
    assert f"make@a:\n  error:    this path leads outside of its folder, to {outside}" in ended.err
