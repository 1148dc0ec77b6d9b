"""Content keys: what an instance's result depends on, and nothing else.

Two instances with the same content key would give the same result, so one may stand for the other. The parts are kept
apart, each with its own hash, so that "why did this run again" has an answer.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_flow.errors import StepFailed
from metis_flow.plan.streamed import HoldsRows, pieces
from metis_flow.workflow.rows import Rows
from metis_flow.workflow.values import FileRef, PathParam

_MARK = "\x00"
"""Begins the names that stand for files and ranges, so that no ordinary object looks like one of them."""


@dataclass(frozen=True)
class ContentKey:
    """The hash of everything that can change a result.

    Attributes:
        digest: SHA-256 over the parts, hex.
        parts: for each part (``prompt``, ``model`` …) the first 16 hex digits of its own hash.
    """

    digest: str
    parts: Mapping[str, str]


class Contents:
    """Makes content keys. Hashes of files are remembered while size and time of change stay the same."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[tuple[int, int], str]] = {}

    def key(self, parts: Mapping[str, Any], known: Mapping[str, str] | None = None) -> ContentKey:
        """The content key over named parts (JSON values, paths and file references).

        Args:
            known: what `hashes` gave for some of them.

        Raises:
            StepFailed: a path among them cannot be read.
        """
        known = known or {}
        hashes = {name: known.get(name) or self._hash(parts[name]) for name in sorted(parts)}
        return ContentKey(_sha256(json.dumps(hashes).encode()), {name: whole[:16] for name, whole in hashes.items()})

    def hashes(self, parts: Mapping[str, Any]) -> dict[str, str]:
        """The hashes of parts that stay as they are; those with a path among them do not, and are left out."""
        return {name: self._hash(value) for name, value in parts.items() if not has_path(value)}

    def file_hash(self, path: Path) -> str:
        """SHA-256 of a file, or of the names and contents of a folder's files.

        Raises:
            StepFailed: it cannot be read.
        """
        try:
            if path.is_dir():
                names = sorted(child for child in path.rglob("*") if child.is_file())
                listing = [[str(child.relative_to(path)), self._one_file(child)] for child in names]
                return _sha256(json.dumps(listing).encode("utf-8", "surrogatepass"))
            return self._one_file(path)
        except OSError as error:
            hint = "paths are relative to the workflow, or with -p to the current folder"
            raise StepFailed(f"cannot read '{path}': {error.strerror}", hint=hint) from None

    def _one_file(self, path: Path) -> str:
        stat = os.stat(path)
        stamp = (stat.st_size, stat.st_mtime_ns)
        known = self._files.get(str(path))
        if known is None or known[0] != stamp:
            with path.open("rb") as stream:
                known = (stamp, _digest_stream(stream))
            self._files[str(path)] = known
        return known[1]

    def _hash(self, value: Any) -> str:
        whole = self._with_paths(value) if has_path(value) else value
        try:
            return _sha256(_CANONICAL.encode(whole).encode("utf-8", "surrogatepass"))
        except HoldsRows:
            digest = hashlib.sha256()
            for piece in pieces(whole, _CANONICAL.encode):
                digest.update(piece.encode("utf-8", "surrogatepass"))
            return digest.hexdigest()

    def _with_paths(self, value: Any) -> Any:
        if isinstance(value, PathParam):
            path = Path(value)
            return {_MARK + "path": path.name, "content": self.file_hash(path) if path.exists() else None}
        if isinstance(value, Mapping):
            return {name: self._with_paths(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._with_paths(part) for part in value]
        return value


def _special(value: Any) -> Any:
    if isinstance(value, FileRef):
        return {_MARK + "file": value.sha256}
    if isinstance(value, range):
        return {_MARK + "range": [value.start, value.stop, value.step]}
    if isinstance(value, Rows):
        raise HoldsRows
    raise TypeError(f"{type(value).__name__} has no content key")


_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_special)


def has_path(value: Any) -> bool:
    """Whether a path that counts by content is somewhere in a value."""
    if isinstance(value, str):
        return isinstance(value, PathParam)
    if isinstance(value, Mapping):
        return any(has_path(part) for part in value.values())
    return isinstance(value, list | tuple) and any(has_path(part) for part in value)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest_stream(stream: Any) -> str:
    digest = hashlib.sha256()
    for block in iter(lambda: stream.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()
