"""The tasks that read and write rows."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import TaskFailed
from metis_flow.tasks import find_task

read_rows = find_task("read_rows")
write_rows = find_task("write_rows").func


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("a.jsonl", '{"a": 1}\n\n[2]\r\n"\u2028"\n', [{"a": 1}, [2], "\u2028"]),
        ("a.ndjson", "1", [1]),
        ("a.jsonl", "", []),
        ("a.json", '[{"a": null}]', [{"a": None}]),
        ("a.yaml", "- a: 010\n  when: 2024-01-01\n- 1_000\n- no\n", [{"a": "010", "when": "2024-01-01"}, 1000, "no"]),
        ("a.YML", "[1, x]", [1, "x"]),
        ("a.csv", "\ufeffname,n\nx,1\n", [{"name": "x", "n": 1}]),
        ("a.csv", "a,b\n1,1\n2.5,x\n", [{"a": 1, "b": "1"}, {"a": 2.5, "b": "x"}]),
        ("a.csv", "a,b\n1,\n,x\n", [{"a": 1, "b": ""}, {"a": None, "b": "x"}]),
        ("a.csv", "id,e\n007,nan\n008,1\n", [{"id": "007", "e": "nan"}, {"id": "008", "e": "1"}]),
        ("a.csv", "a,b,c\n1_000,true,1e-5\n", [{"a": 1000, "b": "true", "c": 1e-5}]),
        ("a.csv", "a\n.nan\n", [{"a": ".nan"}]),
        ("a.csv", 'a,b\n"1\n2, ""x""",\n\n', [{"a": '1\n2, "x"', "b": ""}]),
        ("a.csv", "a,b\n", []),
        ("a.csv", "", []),
        ("a.tsv", "a\tb\n1,5\t2\n", [{"a": "1,5", "b": 2}]),
    ],
)
def test_read_rows(tmp_path: Path, name: str, text: str, rows: list[Any]) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    result = read_rows(path=str(path))
    assert result == rows
    assert repr(result) == repr(rows)  # 1 is not 1.0, and not True


def test_columns_of_text_on_request(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1.10\n")
    assert read_rows(path=str(tmp_path / "a.csv"), numbers=False) == [{"a": "1.10"}]


def test_long_cells(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n" + "x" * 300_000 + "\n")
    assert len(read_rows(path=str(tmp_path / "a.csv"))[0]["a"]) == 300_000


def test_read_a_folder(tmp_path: Path) -> None:
    for name in ("b.txt", "a.md", "c.csv", ".hidden.txt"):
        (tmp_path / name).write_text(f"in {name}\n")
    (tmp_path / "below").mkdir()
    assert read_rows(path=str(tmp_path)) == [
        {"name": "a.md", "text": "in a.md\n"},
        {"name": "b.txt", "text": "in b.txt\n"},
    ]
    with pytest.raises(TaskFailed, match=r"there is no \.txt or \.md file in this folder"):
        read_rows(path=str(tmp_path / "below"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": }\n', ":2: this is not JSON: Expecting value (column 7)"),
        ("a.jsonl", b"1\nNaN\n", ":2: NaN is not JSON"),
        ("a.jsonl", b"1\n\xff\n", ":2: this is not UTF-8 text"),
        ("a.json", b'[1,\n 2,\n"x]', ":3: this is not JSON: Unterminated string starting at (column 1)"),
        ("a.json", b'{"a": 1}', ": the file is not one list"),
        ("a.yaml", b"a: 1\n", ": the file is not one list"),
        ("a.yaml", b"- a: 1\n  a: 2\n", ":2:3: the key 'a' is written twice"),
        ("a.yaml", b"- [1\n", ":2:1: this is not YAML"),
        ("a.csv", b"a,b\n1,2\n\n1\n", ":4: this row has 1 cells, the first line has 2"),
        ("a.csv", b'a,b\n"x\ny",1\n1,2,3\n', ":4: this row has 3 cells, the first line has 2"),
        ("a.csv", b'a,b\n1,"x"y\n', ":2: this is not CSV: ',' expected after '\"'"),
        ("a.csv", b"a,a\n", ":1: the column 'a' is there twice"),
        ("a.csv", b"a,\n", ":1: a column has no name"),
        ("a.xlsx", b"", ": rows cannot be read from a '.xlsx' file"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, text: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(text)
    with pytest.raises(TaskFailed) as caught:
        read_rows(path=str(path))
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(TaskFailed) as caught:
        read_rows(path="nowhere.csv")
    assert caught.value.render() == "nowhere.csv: there is no such file\n  hint: check the path"


@pytest.mark.parametrize(
    ("name", "rows", "text"),
    [
        ("a.jsonl", [{"a": 1}, "µ"], '{"a": 1}\n"µ"\n'),
        ("a.jsonl", [], ""),
        ("a.json", [1], "[\n 1\n]\n"),
        ("deep/er/a.csv", [{"a": 1, "b": None}, {"a": "x,y", "c": True}], 'a,b,c\n1,,\n"x,y",,true\n'),
        ("a.csv", [], ""),
        ("a.csv", [{"=a": "=1+1"}, {"=a": "-5.2"}, {"=a": "@x"}], "'=a\n'=1+1\n-5.2\n'@x\n"),
        ("a.csv", [{"a": "+x"}, {"a": "-"}, {"a": "\tx"}, {"a": -5}], "a\n'+x\n'-\n'\tx\n-5\n"),
    ],
)
def test_write_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, rows: list[Any], text: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_rows(rows=rows, path=name) == {"path": name, "rows": len(rows)}
    assert (tmp_path / name).read_text() == text
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == ["a" + Path(name).suffix]


def test_what_is_written_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"a": 1.5, "b": "x\ny"}, {"a": None, "b": '"'}]
    for name in ("a.jsonl", "a.json", "a.csv"):
        write_rows(rows=rows, path=name)
        assert read_rows(path=name) == rows


@pytest.mark.parametrize("path", ["/tmp/out.csv", "../out.csv", "a/../../out.csv", "a/../out.csv", "link/out.csv"])
def test_paths_stay_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path)
    monkeypatch.chdir(inside)
    with pytest.raises(TaskFailed) as caught:
        write_rows(rows=[], path=path)
    assert caught.value.render() == (
        f"'{path}' is not inside the run's outputs folder\n  hint: give a relative path without '..'"
    )
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["inside", "link"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "target.json").write_text("kept")
    (tmp_path / "inside" / "out.json").symlink_to(tmp_path / "target.json")
    monkeypatch.chdir(tmp_path / "inside")
    write_rows(rows=[1], path="out.json")
    assert (tmp_path / "target.json").read_text() == "kept"
    assert json.loads((tmp_path / "inside" / "out.json").read_text()) == [1]


@pytest.mark.parametrize(
    ("rows", "path", "message"),
    [
        ([1], "a.csv", "rows[0] is no object, so it has no columns"),
        ([{}, {"a": [1]}], "a.csv", "rows[1].a is a list, and a CSV cell holds one value"),
        ([{"a": {}}], "a.csv", "rows[0].a is an object, and a CSV cell holds one value"),
        ([], "a.parquet", "rows cannot be written to 'a.parquet'"),
        ([], "a", "rows cannot be written to 'a'"),
    ],
)
def test_rows_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[Any], path: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskFailed) as caught:
        write_rows(rows=rows, path=path)
    assert caught.value.summary == message
    assert list(tmp_path.iterdir()) == []
