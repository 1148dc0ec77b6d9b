"""The full texts of instances: all of them where there is room, else those that matter most and an even sample."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

HELD_BYTES = 96 * 2**20
"""Compressed texts held in memory; beyond that, long ones are cut at once."""
CHUNK_BYTES = 384 * 2**10
LONG = 20_000
"""Characters of a text, where not everything has room."""
MANY = 200
"""Elements of a list or object, where not everything has room."""

_SPREAD = 2654435761  # Knuth's: multiplied by it, numbers that follow each other are spread evenly over 32 bits


@dataclass(frozen=True)
class _Held:
    packed: bytes
    size: int
    rank: int
    cut: bool


@dataclass(frozen=True)
class Chosen:
    """What goes into the page.

    Attributes:
        chunks: base64 of gzip of a JSON list each.
        places: for each text's number, its chunk and its place there; only of those that are there.
        cut: how many of them were shortened.
    """

    chunks: tuple[str, ...]
    places: Mapping[int, tuple[int, int]]
    cut: int


@dataclass
class Texts:
    """Gathers full texts, compressed."""

    _held: list[_Held] = field(default_factory=list)
    _bytes: int = 0

    def __len__(self) -> int:
        return len(self._held)

    def add(self, detail: Mapping[str, Any], rank: int) -> int:
        """Take the text of one instance, and give its number.

        Args:
            rank: the lower, the more it matters.
        """
        full = self._bytes < HELD_BYTES
        data = _encoded(detail if full else clipped(detail))
        self._held.append(_Held(zlib.compress(data, 1), len(data), rank, not full))
        self._bytes += len(self._held[-1].packed)
        return len(self._held) - 1

    def choose(self, budget: int) -> Chosen:
        """As many as fit into so many bytes of a page."""
        everything = sum(len(held.packed) for held in self._held) * 4 // 3 <= budget
        chunks: list[str] = []
        places: dict[int, tuple[int, int]] = {}
        left = budget
        for numbers, parts in self._batches(cut=not everything):
            chunk = base64.b64encode(gzip.compress(b"[" + b",".join(parts) + b"]", 6, mtime=0)).decode("ascii")
            if len(chunk) > left and places:
                break
            left -= len(chunk)
            places.update((number, (len(chunks), place)) for place, number in enumerate(numbers))
            chunks.append(chunk)
        return Chosen(tuple(chunks), places, sum(self._is_cut(number, everything) for number in places))

    def _is_cut(self, number: int, everything: bool) -> bool:
        return self._held[number].cut or (not everything and self._held[number].size > LONG)

    def _batches(self, *, cut: bool) -> Iterator[tuple[list[int], list[bytes]]]:
        numbers: list[int] = []
        parts: list[bytes] = []
        size = 0
        for number in sorted(range(len(self._held)), key=self._importance):
            held = self._held[number]
            data = zlib.decompress(held.packed)
            if cut and held.size > LONG and not held.cut:
                data = _encoded(clipped(json.loads(data)))
            numbers.append(number)
            parts.append(data)
            size += len(data)
            if size >= CHUNK_BYTES:
                yield numbers, parts
                numbers, parts, size = [], [], 0
        if numbers:
            yield numbers, parts

    def _importance(self, number: int) -> tuple[int, int]:
        return self._held[number].rank, number * _SPREAD % 2**32


def clipped(value: Any) -> Any:
    """A JSON value with long texts and lists shortened, each saying by how much."""
    if isinstance(value, str):
        return value if len(value) <= LONG else f"{value[:LONG]}… ({len(value) - LONG:,} more characters)"
    if isinstance(value, Mapping):
        kept = {name: clipped(part) for name, part in list(value.items())[:MANY]}
        return kept if len(value) <= MANY else {**kept, "…": f"{len(value) - MANY:,} more"}
    if isinstance(value, list):
        kept_items = [clipped(part) for part in value[:MANY]]
        return kept_items if len(value) <= MANY else [*kept_items, f"… ({len(value) - MANY:,} more)"]
    return value


def _encoded(detail: Mapping[str, Any]) -> bytes:
    return json.dumps(detail, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
