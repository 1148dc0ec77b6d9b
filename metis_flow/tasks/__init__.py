"""The task library: named Python functions that any site can run, and ``module:function`` beside a workflow.

The tasks that come with metis-flow are names of this package, loaded when they are first used:

>>> from metis_flow.tasks import dedupe
>>> dedupe(rows=["a", "b", "a"])
['a', 'b']
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metis_flow.tasks.asking import Ask, Asking, drive, drive_async
from metis_flow.tasks.definition import Task
from metis_flow.tasks.load import load_function
from metis_flow.tasks.parameters import rows_params
from metis_flow.tasks.registry import ENTRY_POINTS, all_tasks, find_task, task
from metis_flow.tasks.results import to_json
from metis_flow.tasks.sources import source_files, source_hash
from metis_flow.tasks.submitting import Submitter, submit_with

if TYPE_CHECKING:
    from metis_flow.tasks.library.answers import classify, extract, judge
    from metis_flow.tasks.library.rows import read_rows, write_rows
    from metis_flow.tasks.library.scores import score_table
    from metis_flow.tasks.library.selection import count, dedupe, sample_rows, vote
    from metis_flow.tasks.library.summaries import summarise
    from metis_flow.tasks.library.texts import chunk_text, join_text, read_text

__all__ = [
    "ENTRY_POINTS",
    "Ask",
    "Asking",
    "Submitter",
    "Task",
    "all_tasks",
    "chunk_text",
    "classify",
    "count",
    "dedupe",
    "drive",
    "drive_async",
    "extract",
    "find_task",
    "join_text",
    "judge",
    "load_function",
    "read_rows",
    "read_text",
    "rows_params",
    "sample_rows",
    "score_table",
    "source_files",
    "source_hash",
    "submit_with",
    "summarise",
    "task",
    "to_json",
    "vote",
    "write_rows",
]


def __getattr__(name: str) -> Any:
    import metis_flow.tasks.library as library  # `from … import` would ask for the name here first

    if name in library.HOMES:
        return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
