"""What crosses between the driver and whoever runs an instance: one payload in, one outcome back.

A failure comes back as a value: Parsl would turn a raised error into a dependency error of its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from metis_flow.engine.stop import Stop
from metis_flow.errors import MetisFlowError, StepFailed, WorkerLost
from metis_flow.record.journal import Written
from metis_flow.record.usage import Usage
from metis_flow.workflow.outputs import OutputSpec
from metis_flow.workflow.rows import FileRows, Rows
from metis_flow.workflow.values import FileRef

_LOST = frozenset({"WorkerLost", "ManagerLost"})
"""Parsl's errors for a process or a node that went away, by name: importing them here would cost every start."""

OutputKind = Literal["json", "file", "files", "rows"]


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended.

    Attributes:
        value: the output, where it succeeded: JSON, rows in a file, or file references.
        error: why it failed, else None.
        began, ended: unix seconds.
        folder: the instance's folder relative to the run's, where it has one.
        durable: whether the journal has it already; written: as what entry, where that is known.
        calls: answers received for it, those that had to be repaired included.
        usage: tokens of these.
        messages: the conversation that led to it, its answer last, where something reads that.
        said: what was asked and answered in a worker, for the journal; the last of it is the answer.
        stop: why a workflow that was called was stopped, and with it the run that called it.
        is_inside: whether calls and usage are those of a workflow that was called, which its own record holds.
        own_only: whether it is of no use to other runs, because it wrote into this one's outputs.
    """

    value: Any = None
    error: MetisFlowError | None = None
    began: float = 0.0
    ended: float = 0.0
    folder: str | None = None
    durable: bool = False
    written: Written | None = None
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    messages: tuple[Mapping[str, Any], ...] | None = None
    own_only: bool = False
    is_inside: bool = False
    stop: Stop | None = None
    said: tuple[Mapping[str, Any], ...] = ()

    @property
    def kind(self) -> OutputKind:
        """How the value is written down."""
        if isinstance(self.value, FileRef):
            return "file"
        if isinstance(self.value, FileRows):
            return "rows"
        is_files = isinstance(self.value, list) and bool(self.value) and all(isinstance(v, FileRef) for v in self.value)
        return "files" if is_files else "json"


def is_lost(error: BaseException) -> bool:
    """Whether Parsl says that a process or a node went away."""
    return type(error).__name__ in _LOST


def outcome_of(future: Future[Outcome], address: str) -> Outcome:
    """The outcome of an app call that ended; what Parsl itself raised becomes an error of ours."""
    error = future.exception()
    if error is None:
        return future.result()
    now = time.time()
    if isinstance(error, MetisFlowError):
        return Outcome(error=error, began=now, ended=now)
    words = f"{type(error).__name__}: {str(error)[:300]}"
    if is_lost(error):
        failure: MetisFlowError = WorkerLost(f"the worker that ran it was lost: {words}", where=address)
    else:
        detail = str(error)[:4000] if len(str(error)) > 300 else None
        failure = StepFailed(f"Parsl could not run it: {words}", where=address, detail=detail)
    return Outcome(error=failure, began=now, ended=now)


@dataclass(frozen=True)
class ShellTask:
    """A script to run in a folder of its own.

    Attributes:
        label: ``step@key``, for messages.
        run_folder: the run's folder, absolute.
        folder: where the files belong in the end, absolute; a folder beside it is used until then.
        links: name in the folder, and what it points at.
        contents: name in the folder, and the text to write there.
        secrets: names of the user's variables that the script needs; their values stay where they are and are masked.
        timeout: seconds.
    """

    label: str
    run_folder: str
    folder: str
    script: str
    env: dict[str, str]
    args: tuple[str, ...]
    stdin: str | None
    links: tuple[tuple[str, str], ...]
    contents: tuple[tuple[str, str], ...]
    secrets: tuple[str, ...]
    output: OutputSpec
    timeout: float | None


@dataclass(frozen=True)
class CallTask:
    """A Python function to call.

    Attributes:
        label: ``step@key``, for messages.
        verb: ``python`` or ``uses``.
        target: ``module:function``, or the name of a task.
        workflow_folder: where a module beside the workflow is looked for.
        arguments: keyword arguments: JSON, or `Rows`.
        outputs_dir: the run's folder for files that are results; passed where the function has such a parameter.
        schema: JSON Schema of the result, where one was asked for.
        timeout: seconds.
        run_folder, folder: the run's and the instance's, absolute, for rows that are too many for the journal. Where
            they are None, or cannot be reached, such rows come back as a list.
    """

    label: str
    verb: str
    target: str
    workflow_folder: str
    arguments: dict[str, Any] = field(default_factory=dict)
    outputs_dir: str | None = None
    schema: dict[str, Any] | None = None
    timeout: float | None = None
    run_folder: str | None = None
    folder: str | None = None

    def whole(self) -> CallTask:
        """The same for somebody who cannot reach the run's folder: rows are lists."""
        arguments = {name: list(value) if isinstance(value, Rows) else value for name, value in self.arguments.items()}
        return replace(self, arguments=arguments)
