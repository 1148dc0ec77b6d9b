"""``task.submit(…)``: a task from Python, on any site, without a workflow file."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_kit import Bench

from metis_flow.api import Run
from metis_flow.errors import StepFailed, UsageError
from metis_flow.tasks import chunk_text, classify, dedupe


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are made in the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("site", [None, "local-processes"])
def test_a_task_runs_on_a_site_and_gives_its_result(site: str | None) -> None:
    future = dedupe.submit(rows=["a", "b", "a"], **({"site": site} if site else {}))
    assert future.result(60) == ["a", "b"]
    assert Run.open("last").status == "done"


def test_a_failure_is_raised_by_the_result() -> None:
    with pytest.raises(StepFailed) as failed:
        chunk_text.submit(text="x", tokens=-1).result(60)
    assert failed.value.where == Run.open("last").id


def test_a_task_that_asks_is_answered_by_the_endpoint(chat_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chat_bench.gateway is not None
    chat_bench.answers.rule = lambda body, n: {"label": "metal"}
    path = chat_bench.gateway.write_endpoint(chat_bench.folder, "there")
    future = classify.submit(text="iron", labels=["metal", "gas"], endpoint=str(path), model="gpt-oss-120b")
    assert "metal" in str(future.result(60))


def test_what_makes_no_sense_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="the task 'dedupe' asks no model"):
        dedupe.submit(rows=[], model="gpt-oss-120b")
    with pytest.raises(UsageError, match="the arguments of 'dedupe' are not JSON"):
        dedupe.submit(rows=[object()])
