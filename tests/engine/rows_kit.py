"""A table of rows and functions for them, and a way to have a few rows treated as if they were very many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from engine_kit import Bench

from metis_flow.engine import call, kept

FILE = "params: {rows: {type: path, default: rows.jsonl}}\n"
WORK = """
def one(row):
    if row["n"] == 5:
        raise ValueError("no half of five")
    return {"name": row["name"], "half": row["n"] // 2}

def slow():
    import time
    time.sleep(0.2)

def told(hit):
    return [hit["key"], hit["status"]]

def kinds(rows, results):
    return [type(rows).__name__, type(results).__name__, len(rows), results[0], type(results[0]).__name__]
"""


def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rows and results treated as if they were very many."""
    monkeypatch.setattr(call, "MOST_IN_JOURNAL", 100)
    monkeypatch.setattr(kept, "FEW", 4)
    monkeypatch.setattr(kept, "WAITING_IN_MEMORY", 2)


def rows_file(folder: Path, number: int = 30, **more: Any) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"name": f"p{n}", "n": n, **more}) + "\n" for n in range(number)))
    return path


def rows_bench(folder: Path) -> Bench:
    """A folder with the functions and thirty rows."""
    found = Bench(folder)
    found.write("work.py", WORK)
    rows_file(folder)
    return found
