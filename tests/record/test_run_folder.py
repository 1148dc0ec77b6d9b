"""Run folders: made, found, written, and never left through a link."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from metis_flow.errors import RecordError
from metis_flow.record.folder import RunFolder, find_run, list_runs

STAMPS = ("20260102-030405-0a0b0c", "20260102-030405-0a0b0d", "20260102-030406-000000")


def make(runs: Path, run_id: str) -> RunFolder:
    (runs / run_id / "journal").mkdir(parents=True)
    return RunFolder(runs / run_id)


def test_ids_have_name_time_and_hex_and_sort_as_they_were_made(tmp_path: Path) -> None:
    made = [RunFolder.create(tmp_path / "runs", "band_gap-survey") for _ in range(20)]
    assert all(re.fullmatch(r"band_gap-survey-\d{8}-\d{6}-[0-9a-f]{6}", run.id) for run in made)
    assert [run.id for run in made] == sorted({run.id for run in made})
    assert made[0].name == "band_gap-survey"
    assert list_runs(tmp_path / "runs") == made[::-1]
    assert stat.S_IMODE(made[0].path.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("name", "plain"),
    [("../../etc/x", "etc-x"), ("Band gaps, 2026", "Band-gaps-2026"), ("é", "run"), ("", "run"), ("a" * 99, "a" * 60)],
)
def test_any_name_makes_a_plain_folder_in_its_place(tmp_path: Path, name: str, plain: str) -> None:
    run = RunFolder.create(tmp_path, name)
    assert run.name == plain
    assert run.path.parent == tmp_path


def test_places_in_the_folder() -> None:
    run = RunFolder(Path("/r/x-20260102-030405-0a0b0c"))
    places = (run.journal, run.driver, run.requests, run.outputs, run.steps, run.sources)
    assert [place.name for place in places] == ["journal", "driver", "requests", "outputs", "steps", "sources"]
    assert (run.lock_file.name, run.workflow_file.name) == ("lock.json", "workflow.yaml")
    assert RunFolder(Path("/r/renamed")).name == "renamed"


def test_runs_are_listed_newest_first_whatever_their_names(tmp_path: Path) -> None:
    for name, stamp in zip(("zeta", "alpha", "mid"), STAMPS, strict=True):
        make(tmp_path, f"{name}-{stamp}")
    (tmp_path / f"no_journal-{STAMPS[0]}").mkdir()
    (tmp_path / "notes.txt").write_text("")
    assert [run.name for run in list_runs(tmp_path)] == ["mid", "alpha", "zeta"]
    assert list_runs(tmp_path / "nowhere") == []


def test_a_run_is_found_by_id_beginning_path_and_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = make(tmp_path, f"alpha-{STAMPS[0]}"), make(tmp_path, f"beta-{STAMPS[1]}")
    assert find_run(one.id, tmp_path) == one
    assert find_run("al", tmp_path) == one
    assert find_run("last", tmp_path) == two
    assert find_run(str(one.path), tmp_path / "nowhere") == one
    monkeypatch.chdir(tmp_path)
    assert find_run(f"./{one.id}", Path("nowhere")) == one
    assert find_run(one.id, Path("nowhere")) == one


def test_an_id_that_begins_another_one_is_itself(tmp_path: Path) -> None:
    one = make(tmp_path, f"alpha-{STAMPS[0]}")
    make(tmp_path, f"alpha-{STAMPS[0]}-{STAMPS[1]}")
    assert find_run(one.id, tmp_path) == one


def test_an_ambiguous_beginning_lists_the_candidates(tmp_path: Path) -> None:
    for stamp in STAMPS:
        make(tmp_path, f"alpha-{stamp}")
    with pytest.raises(RecordError) as caught:
        find_run("alpha-2026", tmp_path)
    assert caught.value.render() == (
        "'alpha-2026' is the beginning of 3 runs\n"
        "    alpha-20260102-030406-000000\n"
        "    alpha-20260102-030405-0a0b0d\n"
        "    alpha-20260102-030405-0a0b0c\n"
        "  hint: write more of the id, or `last` for the newest run"
    )
    for second in range(10, 20):
        make(tmp_path, f"alpha-20260102-0304{second}-000000")
    with pytest.raises(RecordError) as caught:
        find_run("alpha-2026", tmp_path)
    assert caught.value.detail is not None
    assert caught.value.detail.splitlines()[-1] == "and 3 more"


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        find_run("last", tmp_path)
    assert caught.value.render() == (
        f"there is no run in {tmp_path}\n"
        "  hint: start one with `metis-flow run FILE`, or say where the runs are with --runs-dir"
    )
    make(tmp_path, f"alpha-{STAMPS[0]}")
    with pytest.raises(RecordError) as caught:
        find_run(f"alhpa-{STAMPS[0]}", tmp_path)
    assert caught.value.render() == (
        f"there is no run 'alhpa-{STAMPS[0]}' in {tmp_path}\n  hint: did you mean 'alpha-{STAMPS[0]}'?"
    )
    for second in range(10, 23):
        make(tmp_path, f"alpha-20260102-0304{second}-000000")
    with pytest.raises(RecordError) as caught:
        find_run("zzz", tmp_path)
    assert caught.value.hint == "`metis-flow runs` lists them"
    with pytest.raises(RecordError) as caught:
        find_run(str(tmp_path / "nothing"), tmp_path)
    assert str(caught.value) == f"{tmp_path / 'nothing'}: this is no run folder: there is no journal in it"


def test_json_files_are_whole_and_private(run: RunFolder) -> None:
    data = {"table": [1, "é", "\ud800", "\u2028", None], "nested": {"a": 1.5}}
    path = run.write_json("outputs/outputs.json", {"old": 1})
    assert run.write_json("outputs/outputs.json", data) == path
    assert run.read_json("outputs/outputs.json") == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in run.outputs.iterdir()] == ["outputs.json"]


def test_json_that_cannot_be_written_leaves_the_old_file(run: RunFolder) -> None:
    run.write_json("x.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_json("x.json", float("nan"))
    assert run.read_json("x.json") == 1


def test_sources_keep_their_bytes_and_folders(run: RunFolder) -> None:
    path = run.write_bytes("sources/prompts/x.md", b"a\r\n\xff")
    assert path.read_bytes() == b"a\r\n\xff"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_json_that_is_missing_or_damaged_is_named(run: RunFolder) -> None:
    with pytest.raises(RecordError) as caught:
        run.read_json("lock.json")
    assert str(caught.value) == f"{run.path}: the run has no lock.json"
    run.lock_file.write_text('{"a": ')
    with pytest.raises(RecordError) as caught:
        run.read_json("lock.json")
    assert str(caught.value) == (f"{run.lock_file}: the file is damaged: Expecting value: line 1 column 7 (char 6)")


@pytest.mark.parametrize("name", ["../x.json", "/etc/x.json", "outputs/../../x.json", "out/x.json", "link.json"])
def test_files_are_neither_written_nor_read_outside(run: RunFolder, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.json").write_text("1")
    (run.path / "out").symlink_to(outside)
    (run.path / "link.json").symlink_to(outside / "x.json")
    for use in (lambda: run.write_json(name, 2), lambda: run.read_json(name), lambda: run.inside(name)):
        with pytest.raises(RecordError, match="this path leads outside of its folder, to /") as caught:
            use()
        assert caught.value.hint == "nothing was read or written there; remove the link, or run the step again"
    assert (outside / "x.json").read_text() == "1"
    assert not (tmp_path / "runs" / "x.json").exists()


def test_instances_have_a_folder_each_spread_where_they_are_many(run: RunFolder) -> None:
    assert run.instance_folder("relax", "t=0,w=cat", many=False) == run.steps / "relax" / "t=0,w=cat"
    many = {run.instance_folder("relax", str(i), many=True) for i in range(2000)}
    assert len(many) == 2000
    assert len({path.parent for path in many}) == 256
    assert all(re.fullmatch(r"[0-9a-f]{2}", path.parent.name) for path in many)
    assert not list(run.steps.iterdir())


@pytest.mark.parametrize("slug", ["", ".", "..", "a/b", "/a", "a\0", ".hidden", "a\n", "-rf"])
def test_an_instance_folder_is_never_a_path(run: RunFolder, slug: str) -> None:
    with pytest.raises(RecordError) as caught:
        run.instance_folder("relax", slug, many=False)
    assert str(caught.value) == f"{run.id}: {slug!r} cannot name a folder of the record"
    with pytest.raises(RecordError, match="cannot name a folder of the record"):
        run.instance_folder(slug, "a", many=True)
