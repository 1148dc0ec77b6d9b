"""JSON values, times and paths, as people read them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metis_flow.views.safe_text import one_line, safe


def short(value: Any, width: int | None = None) -> str:
    """A value on one line: text as it is, anything else as JSON."""
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), width)


def lines_of(value: Any) -> Iterator[str]:
    """A value on as many lines as it takes: text as it is, anything else as YAML."""
    if isinstance(value, str):
        yield from safe(value).rstrip("\n").split("\n")
        return
    import yaml

    text = yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=100, default_flow_style=None)
    yield from safe(text.removesuffix("\n...\n").rstrip("\n")).split("\n")


def named(name: str, value: Any) -> Iterator[str]:
    """``name: value``; a value of several lines stands below its name, indented."""
    lines = list(lines_of(value))
    if len(lines) == 1 and (not isinstance(value, dict | list) or not value):
        yield f"{name}: {lines[0]}"
        return
    yield f"{name}:"
    yield from (f"  {line}" for line in lines)


def when(seconds: float | None) -> str:
    """Unix seconds as local time, to the second."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def near(path: Path | str) -> str:
    """A path as one would type it: relative where it lies below the current folder."""
    relative = os.path.relpath(path)
    return safe(path if relative.startswith("..") else relative)
