"""The values that flow between steps, besides plain JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FileRef:
    """A file that a step made. It is known by its content wherever it goes.

    Attributes:
        path: where it lies, absolute.
        sha256: hash of its content, hex.
        size: bytes.
    """

    path: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return self.path

    def as_dict(self) -> dict[str, Any]:
        """The form in the journal and in outputs."""
        return {"path": self.path, "sha256": self.sha256, "bytes": self.size}


class PathParam(str):
    """A parameter of type ``path``: absolute; in content keys it counts by what the file holds."""

    __slots__ = ()
