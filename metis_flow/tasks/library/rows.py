"""Tasks that read and write rows: one after the other, so that a file may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict

from metis_flow.tasks.registry import task


class Written(TypedDict):
    """A file that was written."""

    path: str
    rows: int


@task
def read_rows(path: str, numbers: bool = True) -> Iterable[Any]:
    """The rows of a file, or the texts of a folder.

    By the name's ending:

    - ``.jsonl``, ``.ndjson``: one JSON value a line; empty lines are left out.
    - ``.json``, ``.yaml``, ``.yml``: a file that is one list.
    - ``.csv``, ``.tsv``: objects by the names in the first line. A column becomes numbers where each of its cells is a
      number as YAML writes it (so ``007`` and ``nan`` keep the column as text) or empty, which is then null; in a
      column of text an empty cell is "". ``numbers: false`` keeps all columns as text.
    - a folder: ``{name, text}`` for each ``.txt`` and ``.md`` file in it (not below it), sorted by name.

    All are UTF-8, with or without a byte order mark. JSON Lines and CSV may be of any size: they are read row by row.

    Args:
        path: the file or folder.
        numbers: whether columns of CSV files may become numbers.

    Returns:
        A list: objects for CSV and folders, any JSON values for the other kinds.

    Raises:
        TaskFailed: there is no such file, its kind is not known, or it is damaged (with file and line).

    Example:
        uses: read_rows
        with: {path: papers.csv}
    """
    import csv
    import json
    from collections.abc import Iterator
    from pathlib import Path

    from metis_flow.errors import TaskFailed, WorkflowError
    from metis_flow.workflow.source import plain_scalar, read_document

    def decoded(raw: bytes, file: Path, line: int) -> str:
        try:
            return raw.decode("utf-8-sig" if line == 1 else "utf-8")
        except UnicodeDecodeError as problem:
            line += raw[: problem.start].count(b"\n")
            raise TaskFailed("this is not UTF-8 text", where=f"{file}:{line}", hint="save it as UTF-8") from None

    def parsed(text: str, file: Path, line: int) -> Any:
        def refuse(word: str) -> Any:
            raise TaskFailed(f"{word} is not JSON", where=f"{file}:{line}", hint="write null for a missing value")

        try:
            return json.loads(text, parse_constant=refuse)
        except json.JSONDecodeError as problem:
            at = f"{file}:{line + problem.lineno - 1}"
            raise TaskFailed(f"this is not JSON: {problem.msg} (column {problem.colno})", where=at) from None

    def json_lines(file: Path) -> Iterator[Any]:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                text = decoded(line, file, number).removesuffix("\n")
                if text.strip():
                    yield parsed(text, file, number)

    def yaml_rows(file: Path) -> Any:
        try:
            document = read_document(file)
            for problem in document.problems:
                raise problem
        except WorkflowError as problem:
            at, hint, detail = problem.where, problem.hint, problem.detail
            raise TaskFailed(problem.summary, where=at, hint=hint, detail=detail) from None
        return document.data

    def csv_cells(file: Path) -> Iterator[list[str]]:
        """The first line, then each row."""
        csv.field_size_limit(2**31 - 1)  # whole papers are put in cells; the limit is the process's, not the reader's
        header: list[str] | None = None
        line = 1
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, delimiter="\t" if kind == ".tsv" else ",", strict=True)
            try:
                for cells in reader:
                    if header is None:
                        header = cells
                        for name in header:
                            if header.count(name) > 1 or not name.strip():
                                problem = (
                                    f"the column '{name}' is there twice" if name.strip() else "a column has no name"
                                )
                                raise TaskFailed(problem, where=f"{file}:1", hint="name each column in the first line")
                    elif cells and len(cells) != len(header):
                        problem = f"this row has {len(cells)} cells, the first line has {len(header)}"
                        raise TaskFailed(problem, where=f"{file}:{line}", hint='put text with commas in "quotes"')
                    if cells:
                        yield cells
                    line = reader.line_num + 1
            except csv.Error as bad:
                raise TaskFailed(f"this is not CSV: {bad}", where=f"{file}:{line}") from None
            except UnicodeDecodeError:
                with file.open("rb") as raw:
                    for number, whole in enumerate(raw, start=1):
                        decoded(whole, file, number)
                raise

    def number_in(cell: str) -> Any:
        """The number that a cell is; null for an empty one, the text itself for any other."""
        try:
            value = plain_scalar(cell) if cell else None
        except ValueError:
            return cell
        return cell if cell and (isinstance(value, bool) or not isinstance(value, int | float)) else value

    def csv_rows(file: Path) -> Iterator[dict[str, Any]]:
        """The file is read twice: whether a column is of numbers shows in its last cell only."""
        rows = csv_cells(file)
        header = next(rows, [])
        numeric, filled = [numbers] * len(header), [False] * len(header)
        for cells in rows:
            for place, cell in enumerate(cells):
                if cell:
                    filled[place] = True
                    numeric[place] = numeric[place] and not isinstance(number_in(cell), str)
        rows = csv_cells(file)
        next(rows, None)
        for cells in rows:
            shown = zip(cells, numeric, filled, strict=True)
            yield dict(zip(header, (number_in(cell) if n and f else cell for cell, n, f in shown), strict=True))

    file = Path(path)
    kind = file.suffix.lower()
    if file.is_dir():
        texts = sorted(one for one in file.iterdir() if one.suffix.lower() in (".txt", ".md") and one.name[0] != ".")
        if not texts:
            raise TaskFailed("there is no .txt or .md file in this folder", where=str(file), hint="check the path")
        for one in texts:
            yield {"name": one.name, "text": decoded(one.read_bytes(), one, 1)}
    elif not file.exists():
        raise TaskFailed("there is no such file", where=str(file), hint="check the path")
    elif kind in (".jsonl", ".ndjson"):
        yield from json_lines(file)
    elif kind in (".csv", ".tsv"):
        yield from csv_rows(file)
    elif kind in (".json", ".yaml", ".yml"):
        rows = parsed(decoded(file.read_bytes(), file, 1), file, 1) if kind == ".json" else yaml_rows(file)
        if not isinstance(rows, list):
            hint = "write the rows as a list, one item a row"
            raise TaskFailed("the file is not one list", where=str(file), hint=hint)
        yield from rows
    else:
        known = ".jsonl, .ndjson, .csv, .tsv, .json, .yaml, .yml"
        raise TaskFailed(f"rows cannot be read from a '{kind}' file", where=str(file), hint=f"the name ends in {known}")


@task
def write_rows(rows: Iterable[Any], path: str, outputs_dir: str | None = None) -> Written:
    """Writes rows to a file in the run's ``outputs`` folder, whole or not at all.

    By the name's ending: ``.jsonl`` (one JSON value a line), ``.json`` (one list), ``.csv`` (objects of plain values;
    the columns are their keys in order of appearance, null and missing ones are empty cells). In CSV a text that a
    spreadsheet would run as a formula (it starts with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return, and is
    no number) gets an apostrophe in front. Rows are taken one after the other, and may be any number.

    Args:
        rows: JSON values.
        path: relative; folders in it are made.
        outputs_dir: the folder that ``path`` is relative to. A run gives its own ``outputs``; else the current folder.

    Returns:
        ``{path, rows}``: the path as given and the number of rows.

    Raises:
        TaskFailed: the path leads out of that folder or has another ending, or a row does not fit the format.

    Example:
        uses: write_rows
        with: {rows: [{a: 1}, {a: 2}], path: table.csv}
        gives: {path: table.csv, rows: 2}
    """
    import csv
    import json
    import os
    import tempfile
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TextIO

    from metis_flow.errors import TaskFailed
    from metis_flow.workflow.source import plain_scalar

    def is_number(text: str) -> bool:
        try:
            return isinstance(plain_scalar(text), int | float)
        except ValueError:
            return False

    def cell(value: Any, where: str) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) and not is_number(value) else value
        if isinstance(value, list | dict):
            kind = "a list" if isinstance(value, list) else "an object"
            raise TaskFailed(f"{where} is {kind}, and a CSV cell holds one value", hint="write a .jsonl file")
        return json.dumps(value)

    written = 0

    def counted() -> Iterator[Any]:
        nonlocal written
        for row in rows:
            yield row
            written += 1

    def as_lines(file: TextIO) -> None:
        for row in counted():
            file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def as_list(file: TextIO) -> None:
        before = "[\n "
        for row in counted():
            # a text in JSON holds no line break, so that each one is between two parts of the row
            file.write(before + json.dumps(row, ensure_ascii=False, indent=1).replace("\n", "\n "))
            before = ",\n "
        file.write("\n]\n" if written else "[]\n")

    def as_csv(file: TextIO) -> None:
        columns: dict[str, None] = {}
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                raise TaskFailed(f"rows[{number}] is no object, so it has no columns", hint="write a .jsonl file")
            columns.update(dict.fromkeys(row))
        writer = csv.writer(file, lineterminator="\n")
        if columns:
            writer.writerow([cell(name, "a column's name") for name in columns])
        for row in counted():
            writer.writerow([cell(row.get(name), f"rows[{written}].{name}") for name in columns])

    formats: dict[str, Callable[[TextIO], None]] = {".jsonl": as_lines, ".json": as_list, ".csv": as_csv}
    target = Path(path)
    write = formats.get(target.suffix.lower())
    if write is None:
        raise TaskFailed(f"rows cannot be written to '{path}'", hint=f"the name ends in {', '.join(formats)}")
    here = Path(outputs_dir or ".").resolve()
    if target.is_absolute() or not (here / target.parent).resolve().is_relative_to(here) or ".." in target.parts:
        raise TaskFailed(f"'{path}' is not inside the run's outputs folder", hint="give a relative path without '..'")
    target = here / target
    if iter(rows) is rows:
        rows = list(rows)  # a table is made in two rounds
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
    return {"path": path, "rows": written}
