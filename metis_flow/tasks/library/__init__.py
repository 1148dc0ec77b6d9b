"""The tasks that come with metis-flow. Each is self-contained: what it needs is imported and defined in its body.

Reading and checking the sources of all takes a tenth of a second, so that each module is loaded when it is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

HOMES = {
    "chunk_text": "texts",
    "classify": "answers",
    "count": "selection",
    "dedupe": "selection",
    "extract": "answers",
    "join_text": "texts",
    "judge": "answers",
    "read_rows": "rows",
    "read_text": "texts",
    "sample_rows": "selection",
    "score_table": "scores",
    "summarise": "summaries",
    "vote": "selection",
    "write_rows": "rows",
}


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
