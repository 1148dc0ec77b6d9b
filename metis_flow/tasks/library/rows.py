"""Tasks that read and write rows."""

from __future__ import annotations

from typing import Any, TypedDict

from metis_flow.tasks.registry import task


class Written(TypedDict):
    """A file that was written."""

    path: str
    rows: int


@task
def read_rows(path: str, numbers: bool = True) -> list[Any]:
    """The rows of a file, or the texts of a folder.

    By the name's ending:

    - ``.jsonl``, ``.ndjson``: one JSON value a line; empty lines are left out.
    - ``.json``, ``.yaml``, ``.yml``: a file that is one list.
    - ``.csv``, ``.tsv``: objects by the names in the first line. A column becomes numbers where each of its cells is a
      number as YAML writes it (so ``007`` and ``nan`` keep the column as text) or empty, which is then null; in a
      column of text an empty cell is "". ``numbers: false`` keeps all columns as text.
    - a folder: ``{name, text}`` for each ``.txt`` and ``.md`` file in it (not below it), sorted by name.

    All are UTF-8, with or without a byte order mark.

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
    import io
    import json
    from pathlib import Path

    from metis_flow.errors import TaskFailed, WorkflowError
    from metis_flow.workflow.source import plain_scalar, read_document

    def text_of(file: Path) -> str:
        raw = file.read_bytes()
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            line = raw[: problem.start].count(b"\n") + 1
            raise TaskFailed("this is not UTF-8 text", where=f"{file}:{line}", hint="save it as UTF-8") from None

    def parsed(text: str, file: Path, line: int) -> Any:
        def refuse(word: str) -> Any:
            raise TaskFailed(f"{word} is not JSON", where=f"{file}:{line}", hint="write null for a missing value")

        try:
            return json.loads(text, parse_constant=refuse)
        except json.JSONDecodeError as problem:
            at = f"{file}:{line + problem.lineno - 1}"
            raise TaskFailed(f"this is not JSON: {problem.msg} (column {problem.colno})", where=at) from None

    def yaml_rows(file: Path) -> Any:
        try:
            document = read_document(file)
            for problem in document.problems:
                raise problem
        except WorkflowError as problem:
            at, hint, detail = problem.where, problem.hint, problem.detail
            raise TaskFailed(problem.summary, where=at, hint=hint, detail=detail) from None
        return document.data

    def csv_rows(file: Path) -> list[dict[str, Any]]:
        csv.field_size_limit(2**31 - 1)  # whole papers are put in cells; the limit is the process's, not the reader's
        text = io.StringIO(text_of(file), newline="")
        reader = csv.reader(text, delimiter="\t" if kind == ".tsv" else ",", strict=True)
        header: list[str] | None = None
        rows: list[list[str]] = []
        line = 1
        try:
            for cells in reader:
                if header is None:
                    header = cells
                    for name in header:
                        if header.count(name) > 1 or not name.strip():
                            problem = f"the column '{name}' is there twice" if name.strip() else "a column has no name"
                            raise TaskFailed(problem, where=f"{file}:1", hint="name each column in the first line")
                elif cells and len(cells) != len(header):
                    problem = f"this row has {len(cells)} cells, the first line has {len(header)}"
                    raise TaskFailed(problem, where=f"{file}:{line}", hint='put text with commas in "quotes"')
                elif cells:
                    rows.append(cells)
                line = reader.line_num + 1
        except csv.Error as bad:
            raise TaskFailed(f"this is not CSV: {bad}", where=f"{file}:{line}") from None
        columns = [column(list(cells)) for cells in zip(*rows, strict=True)]
        return [dict(zip(header or [], cells, strict=True)) for cells in zip(*columns, strict=True)]

    def column(cells: list[str]) -> list[Any]:
        if not numbers or not any(cells):
            return cells
        values: list[Any] = []
        for cell in cells:
            try:
                value = plain_scalar(cell) if cell else None
            except ValueError:
                return cells
            if cell and (isinstance(value, bool) or not isinstance(value, int | float)):
                return cells
            values.append(value)
        return values

    file = Path(path)
    kind = file.suffix.lower()
    if file.is_dir():
        texts = sorted(one for one in file.iterdir() if one.suffix.lower() in (".txt", ".md") and one.name[0] != ".")
        if not texts:
            raise TaskFailed("there is no .txt or .md file in this folder", where=str(file), hint="check the path")
        return [{"name": one.name, "text": text_of(one)} for one in texts]
    if not file.exists():
        raise TaskFailed("there is no such file", where=str(file), hint="check the path")
    if kind in (".jsonl", ".ndjson"):
        lines = enumerate(text_of(file).split("\n"), start=1)
        return [parsed(text, file, number) for number, text in lines if text.strip()]
    if kind in (".csv", ".tsv"):
        return csv_rows(file)
    if kind not in (".json", ".yaml", ".yml"):
        known = ".jsonl, .ndjson, .csv, .tsv, .json, .yaml, .yml"
        raise TaskFailed(f"rows cannot be read from a '{kind}' file", where=str(file), hint=f"the name ends in {known}")
    rows = parsed(text_of(file), file, 1) if kind == ".json" else yaml_rows(file)
    if not isinstance(rows, list):
        raise TaskFailed("the file is not one list", where=str(file), hint="write the rows as a list, one item a row")
    return rows


@task
def write_rows(rows: list[Any], path: str, outputs_dir: str | None = None) -> Written:
    """Writes rows to a file in the run's ``outputs`` folder, whole or not at all.

    By the name's ending: ``.jsonl`` (one JSON value a line), ``.json`` (one list), ``.csv`` (objects of plain values;
    the columns are their keys in order of appearance, null and missing ones are empty cells). In CSV a text that a
    spreadsheet would run as a formula (it starts with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return, and is
    no number) gets an apostrophe in front.

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
    import io
    import json
    import os
    import tempfile
    from pathlib import Path

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

    def as_csv() -> str:
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                raise TaskFailed(f"rows[{number}] is no object, so it has no columns", hint="write a .jsonl file")
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        if columns:
            writer.writerow([cell(name, "a column's name") for name in columns])
        for number, row in enumerate(rows):
            writer.writerow([cell(row.get(name), f"rows[{number}].{name}") for name in columns])
        return text.getvalue()

    formats = {
        ".jsonl": lambda: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
        ".json": lambda: json.dumps(rows, ensure_ascii=False, indent=1) + "\n",
        ".csv": as_csv,
    }
    target = Path(path)
    write = formats.get(target.suffix.lower())
    if write is None:
        raise TaskFailed(f"rows cannot be written to '{path}'", hint=f"the name ends in {', '.join(formats)}")
    here = Path(outputs_dir or ".").resolve()
    if target.is_absolute() or not (here / target.parent).resolve().is_relative_to(here) or ".." in target.parts:
        raise TaskFailed(f"'{path}' is not inside the run's outputs folder", hint="give a relative path without '..'")
    target = here / target
    content = write().encode("utf-8", "surrogatepass")
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
    return {"path": path, "rows": len(rows)}
