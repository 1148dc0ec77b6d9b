"""The outputs of a run for a page: numbers, texts, tables, pictures, files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from metis_flow.record.folder import RunFolder
from metis_flow.units import format_size
from metis_flow.views.report.files import MEDIA, Kept, as_data, inside, is_reference, read_part
from metis_flow.views.report.markdown import looks_like_markdown, markdown_html
from metis_flow.views.safe_text import one_line, safe

ROWS = 100
COLUMNS = 20
CELL_WIDTH = 300
TEXT_WIDTH = 50_000
CSV_BYTES = 200_000

Kind = Literal["short", "text", "markdown", "table", "image", "file"]


@dataclass(frozen=True)
class Shown:
    """One output, ready for the page.

    Attributes:
        kind: how it is shown.
        text: the value, for ``short`` and ``text``; HTML for ``markdown``; the address that holds the picture for
            ``image``; else empty.
        head, rows: of a ``table``.
        note: what is left out, or where a file lies.
    """

    name: str
    kind: Kind
    text: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    note: str = ""


class Pictures:
    """Pictures for a page, as long as there is room.

    Args:
        budget: bytes of the page.
    """

    def __init__(self, budget: int) -> None:
        self.left = budget

    def take(self, file: Kept) -> str | None:
        """The picture as data; None where it has no room."""
        if file.media is None or file.size * 4 // 3 > self.left:
            return None
        data = as_data(file)
        self.left -= len(data)
        return data


def show_outputs(outputs: Mapping[str, Any], folder: RunFolder, pictures: Pictures) -> list[Shown]:
    """Each output of a run, files of the record with what they hold."""
    return [part for name, value in outputs.items() for part in _shown(safe(name), value, folder, pictures)]


def _shown(name: str, value: Any, folder: RunFolder, pictures: Pictures) -> list[Shown]:
    if isinstance(value, str):
        path = inside(folder, value)
        return [_text(name, value) if path is None else _file(name, path, folder, pictures)]
    if value is None or isinstance(value, int | float):
        return [Shown(name, "short", json.dumps(value))]
    if is_reference(value):
        return [_reference(name, value, folder, pictures)]
    if isinstance(value, list) and value and all(is_reference(part) for part in value):
        names = [safe(part["path"].rsplit("/", 1)[-1]) for part in value]
        return [_reference(f"{name}, {own}", part, folder, pictures) for own, part in zip(names, value, strict=True)]
    table = _table(name, value)
    return [table] if table is not None else [_text(name, json.dumps(value, ensure_ascii=False, indent=2))]


def _text(name: str, text: str) -> Shown:
    if "\n" not in text.strip() and len(text) < CELL_WIDTH:
        return Shown(name, "short", safe(text))
    if looks_like_markdown(text):
        return Shown(name, "markdown", markdown_html(text))
    note = f"{len(text) - TEXT_WIDTH:,} more characters are in outputs/outputs.json" if len(text) > TEXT_WIDTH else ""
    return Shown(name, "text", safe(text[:TEXT_WIDTH]), note=note)


def _table(name: str, value: Any) -> Shown | None:
    """A list of objects, or an object of plain values, as a table; None for anything else."""
    if isinstance(value, Mapping) and value and not any(isinstance(part, list | Mapping) for part in value.values()):
        rows = [[_cell(key), _cell(part)] for key, part in list(value.items())[:ROWS]]
        return Shown(name, "table", head=("name", "value"), rows=rows, note=_left_out(len(value), "output"))
    if not isinstance(value, list) or not value or not all(isinstance(row, Mapping) for row in value):
        return None
    head = list(dict.fromkeys(key for row in value[:ROWS] for key in row))
    if not head or len(head) > COLUMNS:
        return None
    rows = [[_cell(row.get(key, "")) for key in head] for row in value[:ROWS]]
    return Shown(name, "table", head=[_cell(key) for key in head], rows=rows, note=_left_out(len(value), "output"))


def _left_out(count: int, where: str) -> str:
    return f"the first {ROWS} of {count:,} rows; the {where} has them all" if count > ROWS else ""


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return one_line(text, CELL_WIDTH)


def _reference(name: str, reference: Mapping[str, Any], folder: RunFolder, pictures: Pictures) -> Shown:
    path = inside(folder, reference["path"])
    if path is not None:
        return _file(name, path, folder, pictures)
    note = f"{safe(reference['path'])}, {format_size(reference['bytes'])}; it is not in the record"
    return Shown(name, "file", note=note)


def _file(name: str, path: Path, folder: RunFolder, pictures: Pictures) -> Shown:
    size = path.stat().st_size
    note = f"{safe(path.relative_to(folder.path))}, {format_size(size)}"
    picture = pictures.take(Kept(name, path, size, MEDIA.get(path.suffix.lower())))
    if picture is not None:
        return Shown(name, "image", picture, note=note)
    if path.suffix.lower() in (".csv", ".tsv"):
        data = read_part(path, CSV_BYTES).decode("utf-8", "replace")
        return _csv(name, data, "\t" if path.suffix.lower() == ".tsv" else ",", note)
    if path.suffix.lower() in (".txt", ".md", ".json", ".log"):
        shown = _text(name, read_part(path, TEXT_WIDTH).decode("utf-8", "replace"))
        return Shown(name, "text" if shown.kind == "short" else shown.kind, shown.text, note=note)
    return Shown(name, "file", note=note)


def _csv(name: str, data: str, delimiter: str, note: str) -> Shown:
    lines: Iterable[list[str]] = csv.reader(io.StringIO(data.replace("\0", "")), delimiter=delimiter)
    rows = [[_cell(cell) for cell in line[:COLUMNS]] for line, _ in zip(lines, range(ROWS + 2), strict=False)]
    if not rows:
        return Shown(name, "file", note=note)
    more = f"; the first {ROWS} rows" if len(rows) > ROWS + 1 else ""
    return Shown(name, "table", head=rows[0], rows=rows[1 : ROWS + 1], note=note + more)
