"""Running a task from Python: what `submit` takes, and what it hands on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import UsageError
from metis_flow.tasks import Task, dedupe, find_task, submit_with, submitting, task

Submitted = tuple[str, dict[str, Any], dict[str, Any]]


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Submitted]]:
    """What reaches those who run tasks; here a thread does."""
    seen: list[Submitted] = []
    monkeypatch.setattr(submitting, "_submitter", None)
    with ThreadPoolExecutor(1) as pool:

        def run(task: Task[..., Any], arguments: Mapping[str, Any], **places: Any) -> Future[Any]:
            seen.append((task.name, dict(arguments), places))
            return pool.submit(task.func, **arguments)

        submit_with(run)
        yield seen


def test_a_task_is_submitted(submitted: list[Submitted]) -> None:
    assert dedupe.submit(rows=[1, 1]).result() == [1]
    assert dedupe.submit(rows=[2], by=None, site="polaris", model={"name": "m"}, endpoint="metis").result() == [2]
    assert submitted == [
        ("dedupe", {"rows": [1, 1]}, {"site": None, "endpoint": None, "model": None}),
        ("dedupe", {"rows": [2], "by": None}, {"site": "polaris", "endpoint": "metis", "model": {"name": "m"}}),
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "the task 'dedupe' cannot be called so: missing a required argument: 'rows'"),
        ({"rows": [], "bye": 1}, "the task 'dedupe' cannot be called so: got an unexpected keyword argument 'bye'"),
    ],
)
def test_arguments_that_do_not_fit(submitted: list[Submitted], arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        dedupe.submit(**arguments)
    assert caught.value.summary == problem
    assert caught.value.hint == (
        "it takes (rows: 'list[Any]', by: 'list[str] | str | None' = None, loose: 'bool' = False)"
    )
    assert submitted == []


def test_a_parameter_that_submit_takes_for_itself(submitted: list[Submitted]) -> None:
    @task
    def survey(site: str) -> str:
        return site

    with pytest.raises(UsageError) as caught:
        survey.submit(site="here")
    assert caught.value.summary == "the task 'survey' has a parameter 'site', which submit() takes for itself"
    assert caught.value.hint == "rename the parameter; submit() keeps site, endpoint, model"


def test_a_task_beside_a_workflow_is_submitted(
    submitted: list[Submitted], tmp_path: Path, write: Callable[..., None]
) -> None:
    write(tmp_path, near="from metis_flow.tasks import task\n\n@task\ndef three(x: int) -> int:\n    return 3 * x\n")
    assert find_task("three", tmp_path).submit(x=2).result() == 6


def test_nobody_runs_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting, "_submitter", None)
    monkeypatch.setattr(submitting, "RUNNER", "metis_flow.units")
    with pytest.raises(UsageError) as caught:
        dedupe.submit(rows=[])
    assert caught.value.render() == (
        "metis_flow.units runs no tasks\n  hint: give one that does: metis_flow.tasks.submit_with(…)"
    )
