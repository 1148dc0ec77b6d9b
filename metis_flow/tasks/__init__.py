"""The task library: named Python functions that any site can run, and ``module:function`` beside a workflow."""

from metis_flow.tasks.load import load_function
from metis_flow.tasks.registry import ENTRY_POINTS, TaskInfo, all_tasks, find_task, task
from metis_flow.tasks.results import to_json
from metis_flow.tasks.sources import source_files, source_hash

__all__ = [
    "ENTRY_POINTS",
    "TaskInfo",
    "all_tasks",
    "find_task",
    "load_function",
    "source_files",
    "source_hash",
    "task",
    "to_json",
]
