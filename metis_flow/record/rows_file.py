"""Rows of an output in a file of their own, where they are too many for a line of the journal."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from metis_flow.record.files import PRIVATE_FILE, make_parents, promote
from metis_flow.workflow.rows import FileRows

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_ESCAPING = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def line_of(row: Any) -> bytes:
    """A row as a line of the file."""
    try:
        return _ENCODER.encode(row).encode() + b"\n"
    except UnicodeEncodeError:  # half a character: only JSON's escapes have a form for it
        return _ESCAPING.encode(row).encode() + b"\n"


def write_rows_file(lines: Iterable[bytes], folder: Path, *, within: Path) -> FileRows:
    """Write rows into a private file, whole or not at all; it is durable before this returns.

    It is named for its content, so that a later attempt never changes what an entry of the journal refers to.

    Args:
        lines: from `line_of`.
        folder: where it belongs; made where it is missing.
        within: the run's folder.

    Raises:
        OSError: it cannot be written.
    """
    temporary = folder / f".rows-{secrets.token_hex(8)}.part"
    make_parents(temporary, within=within)
    digest, length, size = hashlib.sha256(), 0, 0
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        with open(descriptor, "wb") as file:
            for line in lines:
                file.write(line)
                digest.update(line)
                length, size = length + 1, size + len(line)
        final = _named(folder, digest.hexdigest())
        promote(temporary, final, within=within)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return FileRows(str(final), length, digest.hexdigest(), size)


def recorded_output(entry: Mapping[str, Any], run: Path) -> Any:
    """The output in an entry of the journal: rows as a list that is read when it is asked for, anything else as it is.

    Args:
        run: the run's folder, which may have been moved since.
    """
    if entry.get("kind") != "rows":
        return entry.get("output")
    rows = FileRows.of(entry["output"])
    parts = Path(rows.path).parts
    if run.name in parts and not Path(rows.path).exists():
        return replace(rows, path=str(run.joinpath(*parts[parts.index(run.name) + 1 :])))
    return rows


def adopted(rows: FileRows, folder: Path, *, within: Path) -> FileRows:
    """The same rows in a file of this run, so that it needs the one that they came from no more.

    Raises:
        OSError: they cannot be linked or copied there.
    """
    temporary = folder / f".rows-{secrets.token_hex(8)}.part"
    make_parents(temporary, within=within)
    try:
        try:
            os.link(rows.path, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(rows.path, temporary)
            os.chmod(temporary, PRIVATE_FILE)
        final = _named(folder, rows.sha256)
        promote(temporary, final, within=within)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    return FileRows(str(final), rows.length, rows.sha256, rows.size)


def _named(folder: Path, sha256: str) -> Path:
    return folder / f"rows-{sha256[:16]}.jsonl"
