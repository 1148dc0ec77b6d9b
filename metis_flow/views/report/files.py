"""Files that steps made: which there are, the texts among them, and pictures as data."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_flow.errors import RecordError
from metis_flow.record.files import open_plain
from metis_flow.record.folder import RunFolder

MEDIA = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}
FILES_AT_MOST = 40
TEXT_BYTES = 16_384
_TEXTS = frozenset({".txt", ".log", ".json", ".csv", ".tsv", ".md", ".yaml", ".yml", ".sh", ".py", ".out", ".err", ""})


@dataclass(frozen=True)
class Kept:
    """A file of the record.

    Attributes:
        address: of the instance that made it.
        path: where it lies now.
        size: bytes.
        media: its type, where it is a picture.
    """

    address: str
    path: Path
    size: int
    media: str | None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name


def made_files(folder: RunFolder, entry: Mapping[str, Any]) -> Iterator[Kept]:
    """The files that an instance's output names, as far as they lie in the record."""
    if entry["e"] != "done" or entry.get("kind") not in ("file", "files"):
        return
    output = entry["output"]
    for reference in output if isinstance(output, list) else [output]:
        if is_reference(reference) and (path := inside(folder, reference["path"])) is not None:
            yield Kept(entry["address"], path, reference["bytes"], MEDIA.get(path.suffix.lower()))


def is_reference(value: Any) -> bool:
    """Whether a JSON value is a file that a step made."""
    return isinstance(value, Mapping) and set(value) == {"path", "sha256", "bytes"} and isinstance(value["path"], str)


def inside(folder: RunFolder, path: str) -> Path | None:
    """A file of the record by the path that was written down, also where the record has been moved since.

    None where it lies elsewhere, is gone, or is no plain file.
    """
    parts = Path(path).parts
    if folder.id not in parts:
        return None
    place = folder.path.joinpath(*parts[parts.index(folder.id) + 1 :])
    try:
        place = folder.inside(place)
    except RecordError:
        return None
    return place if place.is_file() and not place.is_symlink() else None


def files_of(folder: RunFolder, relative: str | None) -> list[dict[str, Any]]:
    """Name, size and, where it is text, the content of each file in an instance's folder.

    Of a long text the last 16 KiB are given for what a script printed, the first of others.
    """
    if relative is None:
        return []
    try:
        place = folder.inside(relative)
        names = sorted(os.listdir(place))
    except (RecordError, OSError):
        return []
    return [_file(place / name) for name in names[:FILES_AT_MOST] if not (place / name).is_dir()]


def _file(path: Path) -> dict[str, Any]:
    if path.is_symlink():
        return {"name": path.name, "link": os.readlink(path)}
    found: dict[str, Any] = {"name": path.name, "bytes": path.stat().st_size}
    if path.suffix.lower() in _TEXTS:
        end = path.name in ("stdout", "stderr")
        data = read_part(path, TEXT_BYTES, end=end)
        if b"\0" not in data:
            found["text"] = data.decode("utf-8", "replace")
            found["cut"] = found["bytes"] > len(data) and ("end" if end else "beginning")
    return found


def read_part(path: Path, count: int, *, end: bool = False) -> bytes:
    """So many bytes of a plain file, from its beginning or its end."""
    with open_plain(path) as file:
        if end:
            file.seek(max(0, path.stat().st_size - count))
        return file.read(count)


def as_data(file: Kept) -> str:
    """A picture as an address that holds it whole."""
    with open_plain(file.path) as source:
        return f"data:{file.media};base64,{base64.b64encode(source.read()).decode('ascii')}"
