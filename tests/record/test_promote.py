"""Finished files get their names by one rename, inside the run folder only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from metis_flow.errors import RecordError
from metis_flow.record.folder import RunFolder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text("keep me")
    return folder


def untouched(outside: Path) -> bool:
    return [path.name for path in outside.iterdir()] == ["precious"] and (outside / "precious").read_text() == "keep me"


def attempt(run: RunFolder, text: str = "new") -> Path:
    folder = run.steps / "tmp"
    folder.mkdir()
    (folder / "result.json").write_text(text)
    return folder


def test_a_folder_gets_its_name_and_private_parents(run: RunFolder) -> None:
    final = run.instance_folder("relax", "GaAs", many=True)
    run.promote(attempt(run), final)
    assert (final / "result.json").read_text() == "new"
    assert not (run.steps / "tmp").exists()
    assert stat.S_IMODE(final.parent.stat().st_mode) == 0o700


def test_a_later_attempt_takes_the_place_of_an_earlier_one(run: RunFolder) -> None:
    final = run.steps / "relax" / "GaAs"
    run.promote(attempt(run, "old"), final)
    (final / "leftover").write_text("")
    run.promote(attempt(run, "new"), final)
    assert [path.name for path in final.iterdir()] == ["result.json"]
    assert (final / "result.json").read_text() == "new"
    assert [path.name for path in final.parent.iterdir()] == ["GaAs"]


def test_a_file_replaces_a_file(run: RunFolder) -> None:
    for text in ("old", "new"):
        temporary = run.steps / "x.tmp"
        temporary.write_text(text)
        run.promote(temporary, run.steps / "relax" / "x.txt")
    assert (run.steps / "relax" / "x.txt").read_text() == "new"
    assert not (run.steps / "x.tmp").exists()


def test_nothing_to_promote_leaves_the_earlier_attempt(run: RunFolder) -> None:
    final = run.steps / "relax" / "GaAs"
    run.promote(attempt(run), final)
    with pytest.raises(FileNotFoundError):
        run.promote(run.steps / "nothing", final)
    assert (final / "result.json").read_text() == "new"


def test_links_in_a_folder_are_moved_and_never_followed(run: RunFolder, outside: Path) -> None:
    folder = attempt(run)
    (folder / "input").symlink_to(outside)
    (folder / "file").symlink_to(outside / "precious")
    final = run.steps / "relax" / "GaAs"
    run.promote(folder, final)
    assert os.readlink(final / "input") == str(outside)
    # The next attempt removes the earlier one, and not what its links point to.
    run.promote(attempt(run), final)
    assert untouched(outside)


def test_a_link_on_the_way_out_is_refused(run: RunFolder, outside: Path) -> None:
    (run.steps / "relax").symlink_to(outside)
    with pytest.raises(RecordError) as caught:
        run.promote(attempt(run), run.steps / "relax" / "GaAs")
    assert str(caught.value) == (
        f"{run.steps / 'relax' / 'GaAs'}: this path leads outside of its folder, to {outside / 'GaAs'}"
    )
    assert untouched(outside)
    assert (run.steps / "tmp" / "result.json").exists()


def test_a_link_in_the_place_of_the_final_name_is_refused(run: RunFolder, outside: Path) -> None:
    (run.steps / "relax").mkdir()
    (run.steps / "relax" / "GaAs").symlink_to(outside)
    with pytest.raises(RecordError, match="this path leads outside of its folder"):
        run.promote(attempt(run), run.steps / "relax" / "GaAs")
    assert untouched(outside)


def test_files_from_outside_and_to_outside_are_refused(run: RunFolder, outside: Path) -> None:
    with pytest.raises(RecordError, match="this path leads outside of its folder"):
        run.promote(outside, run.steps / "relax")
    with pytest.raises(RecordError, match="this path leads outside of its folder"):
        run.promote(attempt(run), outside / "x")
    assert untouched(outside)


def test_a_link_to_another_place_in_the_run_is_no_way_either(run: RunFolder) -> None:
    (run.steps / "relax").symlink_to(run.journal)
    with pytest.raises(RecordError, match=r"a folder belongs at .*, and a symbolic link is in its place"):
        run.promote(attempt(run), run.steps / "relax" / "GaAs")
    assert list(run.journal.iterdir()) == []
