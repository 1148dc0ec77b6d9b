"""Rows that are read when they are asked for, beside the list that they stand for."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import ExpressionFailed, RecordError
from metis_flow.plan.content import Contents
from metis_flow.plan.items import items_of, known_length
from metis_flow.record.rows_file import line_of, write_rows_file
from metis_flow.workflow.expressions import compile_text
from metis_flow.workflow.rows import FileRows
from metis_flow.workflow.values import FileRef

LIST: list[Any] = [{"name": "b", "n": 2}, {"name": "a", "n": 1, "x": [1.5, None]}, {"name": "é\u2028", "n": 3}]


@pytest.fixture
def rows(tmp_path: Path) -> FileRows:
    return write_rows_file(map(line_of, LIST), tmp_path / "steps" / "load", within=tmp_path)


def test_they_are_a_list_to_python(rows: FileRows) -> None:
    assert rows == LIST
    same = list(LIST)
    assert same == rows
    assert rows == pickle.loads(pickle.dumps(rows))
    assert rows != LIST[:2]
    assert rows != [*LIST[:2], None]
    assert rows != "a text"
    assert (len(rows), rows[0], rows[-1], rows[::2]) == (3, LIST[0], LIST[-1], LIST[::2])
    assert list(reversed(rows)) == LIST[::-1]
    assert LIST[1] in rows
    assert (rows.index(LIST[2]), rows.count(LIST[0])) == (2, 1)
    with pytest.raises(IndexError):
        rows[3]


@pytest.mark.parametrize(
    "expression",
    [
        "rows | length",
        "rows[1].name",
        "rows[7] is defined",
        "rows[:2] + rows[2:]",
        "rows + [1]",
        "[1] + rows",
        "rows * 2",
        "rows | map(attribute='n') | sum",
        "rows | sort(attribute='name') | first",
        "rows | selectattr('n', 'gt', 1) | list",
        "rows | last",
        "rows == [1]",
        "rows is sequence and rows is iterable and rows is not mapping and rows is not string",
        "rows if rows else 0",
        "rows.length is defined or rows.path is defined or rows.sha256 is defined",
        "rows.append is defined",
        "rows.count(rows[0])",
        "json(rows)",
        "json({'rows': rows}, 1)",
        "lines(rows)",
        "rows | tojson",
        "rows | map(attribute='name') | join('-')",
        "fence(rows)",
        "zip(rows, range(3)) | list",
        "rows ~ ''",
        "{'a': rows}",
        "rows.name",
    ],
)
def test_expressions_take_them_for_the_list(rows: FileRows, expression: str) -> None:
    template = compile_text(f"${{{{ {expression} }}}}", "w.yaml:1:1")

    def outcome(value: Any) -> Any:
        try:
            return template.evaluate({"rows": value})
        except ExpressionFailed as error:
            return error.summary

    assert outcome(rows) == outcome(LIST)


def test_alone_they_stay_what_they_are(rows: FileRows) -> None:
    template = compile_text("${{ rows }}", "w.yaml:1:1")
    assert template.evaluate({"rows": rows}) is rows
    assert compile_text("${{ {'a': [rows]} }}", "w.yaml:1:1").evaluate({"rows": rows})["a"][0] is rows


def test_a_product_of_them_is_bounded(rows: FileRows) -> None:
    with pytest.raises(ExpressionFailed, match=r"the result of '\*' is too large"):
        compile_text("${{ rows * 10000000 }}", "w.yaml:1:1").evaluate({"rows": rows})


def test_items_come_from_them_one_by_one(rows: FileRows) -> None:
    found = items_of(rows, "s")
    assert [(item.index, item.key, item.value) for item in found] == [(n, str(n), row) for n, row in enumerate(LIST)]
    assert known_length(rows) == 3


@pytest.mark.parametrize(
    "place", [lambda v: v, lambda v: {"b": [v, "ü\ud800"], "a": {"x": v}}, lambda v: [range(2), v]]
)
def test_the_content_key_is_that_of_the_list(rows: FileRows, place: Any) -> None:
    assert Contents().key({"with": place(rows)}) == Contents().key({"with": place(LIST)})


def test_rows_of_rows_have_a_content_key(rows: FileRows, tmp_path: Path) -> None:
    class Two(FileRows):
        def __iter__(self) -> Any:
            return iter([{"a": rows}, FileRef("/x", "ab", 1)])

    nested = Two("", 2, "", 0)
    assert Contents().key({"a": nested}) == Contents().key({"a": [{"a": LIST}, FileRef("/y", "ab", 1)]})


def test_what_is_gone_or_damaged_is_said(rows: FileRows) -> None:
    path = Path(rows.path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(RecordError) as caught:
        list(rows)
    assert caught.value.render() == (
        f"{path}: the rows of a step cannot be read: line 3 of 3 is not as it was written\n"
        "  hint: resume the run: the step that made them runs again"
    )
    path.write_bytes(whole[: whole.index(b"\n") + 1])
    with pytest.raises(RecordError, match="line 3 of 3"):
        rows[2]
    path.unlink()
    for read in (lambda: list(rows), lambda: rows[0]):
        with pytest.raises(RecordError, match="the rows of a step cannot be read: No such file or directory"):
            read()


def test_only_what_is_asked_for_is_parsed(rows: FileRows, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda line: parsed.append(line) or loads(line))
    assert (next(iter(rows)), rows[2], len(parsed)) == (LIST[0], LIST[2], 2)
