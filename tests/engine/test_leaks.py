"""Runs in one process leave nothing behind: no threads, descriptors, processes or handlers."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import pytest
from engine_kit import Bench

from metis_flow.engine.collecting import THRESHOLDS, rare_collections

WORKFLOW = """
    steps:
      a: {foreach: [1, 2], chat: "${{ item }}"}
      b: {foreach: "${{ steps.a.results }}", stdin: "${{ item.output }}", run: cat}
      c: {python: "builtins:dict", with: {n: "${{ steps.b.outputs }}"}}
      d: {run: "exit 1"}
"""


def held() -> tuple[list[str], set[str], set[str]]:
    """Threads, open descriptors and child processes."""
    gc.collect()
    descriptors = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    # the default executor of the gateway's own loop may grow
    threads = sorted(t.name for t in threading.enumerate() if not t.name.startswith("asyncio_"))
    return threads, descriptors, set(children)


def test_twenty_runs_leave_nothing_behind(chat_bench: Bench) -> None:
    workflow = chat_bench.workflow(WORKFLOW)
    runs = chat_bench.folder / "runs"
    for _ in range(2):
        workflow.run(endpoint="local", runs_dir=runs)
    threads, descriptors, children = held()
    for _ in range(20):
        assert workflow.run(endpoint="local", runs_dir=runs).status == "failed"
    now = held()
    assert now[0] == threads
    assert len(now[1]) <= len(descriptors) + 2, (
        now[1] - descriptors
    )  # connections that the gateway keeps a moment longer
    assert now[2] <= children


def test_a_run_on_worker_processes_leaves_nothing_behind(bench: Bench) -> None:
    threads, descriptors, children = held()
    assert bench.run("steps: {a: {run: 'true'}}", site="local-processes").status == "done"
    now = held()
    assert now[0] == threads
    assert now[2] <= children
    assert len(now[1]) <= len(descriptors) + 4, now[1] - descriptors


@pytest.mark.parametrize("field", ["PATH", "HOME"])
def test_a_run_leaves_the_environment_as_it_was(bench: Bench, field: str) -> None:
    before = dict(os.environ)
    here = Path.cwd()
    bench.run("steps: {a: {run: 'export X=1; cd /', env: {HOME: /nowhere}}}")
    assert os.environ[field] == before[field]
    assert Path.cwd() == here


def test_a_run_leaves_the_search_for_garbage_as_it_was(bench: Bench) -> None:
    gc.unfreeze()
    before = gc.get_threshold()
    assert bench.run("steps: {a: {run: 'true'}}").status == "done"
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_two_runs_at_once_leave_it_so_too() -> None:
    gc.unfreeze()
    before = gc.get_threshold()
    one, other = rare_collections(), rare_collections()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert gc.get_threshold() == THRESHOLDS
    other.__exit__(None, None, None)
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
