"""Running a task from Python: the seam between a task and those who run it.

Tasks lie below the engine and cannot import it. Who runs them hands itself in here (`submit_with`); `RUNNER` is the
module that does so when it is imported, and is known by its name alone, as a plug-in would be.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

from metis_flow.errors import UsageError

if TYPE_CHECKING:
    from metis_flow.tasks.definition import Task

RUNNER = "metis_flow.api"
OWN_WORDS = ("site", "endpoint", "model")


class Submitter(Protocol):
    """Runs a task somewhere."""

    def __call__(
        self,
        task: Task[..., Any],
        arguments: Mapping[str, Any],
        *,
        site: str | None,
        endpoint: str | None,
        model: str | Mapping[str, Any] | None,
    ) -> Future[Any]:
        """Start one call.

        Args:
            arguments: keyword arguments of the task; they fit its signature.
            site: where it runs; the local site if None.
            endpoint: who answers, for a task that asks.
            model: who is asked: a name, or settings as under ``model`` in a workflow.

        Returns:
            A future of the task's result, as JSON. What failed is raised by its ``result()``.
        """


_submitter: Submitter | None = None


def submit_with(submitter: Submitter) -> None:
    """Have tasks run by this from now on."""
    global _submitter
    _submitter = submitter


def submit(task: Task[..., Any], words: dict[str, Any]) -> Future[Any]:
    """Run a task with these keyword arguments; `site`, `endpoint` and `model` say where and by whom.

    Raises:
        UsageError: they are not what the task takes.
    """
    own = [name for name in OWN_WORDS if name in task.parameters["properties"]]
    if own:
        raise UsageError(
            f"the task '{task.name}' has a parameter '{own[0]}', which submit() takes for itself",
            where=task.where,
            hint=f"rename the parameter; submit() keeps {', '.join(OWN_WORDS)}",
        )
    places = {name: words.pop(name, None) for name in OWN_WORDS}
    task.check_names(words)
    if _submitter is None:
        importlib.import_module(RUNNER)
    if _submitter is None:
        raise UsageError(f"{RUNNER} runs no tasks", hint="give one that does: metis_flow.tasks.submit_with(…)")
    return _submitter(task, words, **places)
