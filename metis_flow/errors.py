"""Every error that metis-flow raises on purpose, in one tree.

::

    MetisFlowError                 something to tell the user; exit code 1
    ├── UsageError                 the file or the command is wrong; exit code 2
    │   ├── WorkflowError          one mistake in a workflow file
    │   ├── WorkflowInvalid        several of them, reported together
    │   ├── ParameterError         a parameter given on the command line or in a file
    │   ├── ConfigError            an endpoint or site file
    │   └── RecordError            a run that is not there, or whose record is damaged
    ├── LoginRequired              log in first; exit code 3
    └── StepFailed                 one instance of a step failed
        ├── ExpressionFailed       an expression could not be evaluated on the values it got
        ├── ShellFailed            a script ended with a non-zero exit code
        ├── TaskFailed             a Python function raised
        ├── TimedOut               ended by its `timeout`
        ├── OutputInvalid          what came out is not what `output` or `check` asks for
        ├── UpstreamFailed         a step that it gathers failed
        ├── WorkerLost             the process or node that ran it went away
        ├── Cancelled              the user took it back while the run went on
        ├── NotTaken               its result should come from an earlier run, and none has it
        └── InferenceError         no usable answer from the endpoint (see metis_flow.inference.errors)

Each has a summary (one sentence), where it is (``file:line:column`` or ``step@key``), a hint (what to do) and an
exit code. They pickle whole, so that they cross from a worker to the driver unchanged. A run that is stopped is no
error but a value, `metis_flow.engine.stop.Stop`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_LOGIN = 3
EXIT_LIMIT = 4
EXIT_STOPPED = 5
EXIT_INTERRUPTED = 130


class MetisFlowError(Exception):
    """Something to tell the user.

    Args:
        summary: what is wrong, as one sentence.
        where: ``file:line:column`` or ``step@key``.
        hint: what to do about it.
        detail: further lines to show as they are (an offending line, the tail of stderr).
    """

    exit_code: ClassVar[int] = EXIT_FAILED
    kind: ClassVar[str] = "error"

    def __init__(
        self, summary: str, *, where: str | None = None, hint: str | None = None, detail: str | None = None
    ) -> None:
        super().__init__(summary)
        self.summary = summary
        self.where = where
        self.hint = hint
        self.detail = detail

    def __str__(self) -> str:
        return self.summary if self.where is None else f"{self.where}: {self.summary}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)

    def render(self) -> str:
        """The text for a terminal: where and summary, then the detail, then the hint."""
        parts = [str(self)]
        if self.detail:
            parts.extend("    " + line for line in self.detail.splitlines())
        if self.hint:
            parts.append(f"  hint: {self.hint}")
        return "\n".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """The form that goes into the journal and into ``--json``."""
        return {
            "kind": self.kind,
            "summary": self.summary,
            "where": self.where,
            "hint": self.hint,
            "detail": self.detail,
        }


def _rebuild(cls: type[MetisFlowError], args: tuple[Any, ...], state: dict[str, Any]) -> MetisFlowError:
    error = cls.__new__(cls)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


class UsageError(MetisFlowError):
    """The file or the command is wrong."""

    exit_code = EXIT_USAGE
    kind = "usage"


class WorkflowError(UsageError):
    """One mistake in a workflow file."""

    kind = "workflow"


class WorkflowInvalid(UsageError):
    """All the mistakes that one pass over a workflow file found, in file order.

    Args:
        problems: at least one error.
    """

    kind = "workflow"

    def __init__(self, problems: Sequence[WorkflowError]) -> None:
        first = problems[0]
        count = len(problems)
        summary = first.summary if count == 1 else f"{count} mistakes, the first: {first.summary}"
        super().__init__(summary, where=first.where, hint=first.hint, detail=first.detail)
        self.problems = list(problems)

    def render(self) -> str:
        body = "\n".join(problem.render() for problem in self.problems)
        if len(self.problems) == 1:
            return body
        return f"{body}\n{len(self.problems)} mistakes found."

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {"problems": [problem.as_dict() for problem in self.problems]}


class ParameterError(UsageError):
    """A parameter given on the command line or in a parameter file."""

    kind = "parameter"


class ConfigError(UsageError):
    """An endpoint or site file, or the choice of one."""

    kind = "config"


class RecordError(UsageError):
    """A run that is not there, or whose record is damaged."""

    kind = "record"


class LoginRequired(MetisFlowError):
    """Nothing can be asked of the endpoint before the user has logged in."""

    exit_code = EXIT_LOGIN
    kind = "login"


class StepFailed(MetisFlowError):
    """One instance of a step failed."""

    kind = "step_failed"


class ExpressionFailed(StepFailed):
    """An expression could not be evaluated on the values it got."""

    kind = "expression"


class ShellFailed(StepFailed):
    """A script ended with a non-zero exit code.

    Args:
        code: that exit code; None where it did not come to one.
    """

    kind = "shell"

    def __init__(self, summary: str, *, code: int | None = None, **more: str | None) -> None:
        super().__init__(summary, **more)
        self.code = code


class TaskFailed(StepFailed):
    """A Python function raised; ``detail`` holds the end of its traceback."""

    kind = "task"


class TimedOut(StepFailed):
    """The instance was ended by its ``timeout``."""

    kind = "timeout"


class OutputInvalid(StepFailed):
    """What came out is not what ``output`` or ``check`` asks for."""

    kind = "output_invalid"


class UpstreamFailed(StepFailed):
    """A step that this one gathers failed."""

    kind = "upstream_failed"


class WorkerLost(StepFailed):
    """The process or node that ran the instance went away."""

    kind = "worker_lost"


class Cancelled(StepFailed):
    """The user took it back while the run went on."""

    kind = "cancelled"

    def at(self, where: str) -> Cancelled:
        """The same for another instance."""
        return Cancelled(self.summary, where=where, hint=self.hint)


class NotTaken(StepFailed):
    """Its result should come from an earlier run, and none has it."""

    kind = "not_taken"


class InferenceError(StepFailed):
    """No usable answer came from the endpoint."""

    kind = "inference"


RETRY_KINDS = {
    TimedOut.kind: "it ran longer than its 'timeout'",
    ShellFailed.kind: "its script ended with an exit code other than 0",
    TaskFailed.kind: "its function raised an error",
    OutputInvalid.kind: "what came out is not what 'output' or 'check' asks for",
    WorkerLost.kind: "the process or node that ran it went away",
    StepFailed.kind: "it could not begin: a file is missing, or a value does not fit its place",
    InferenceError.kind: "a call gave no usable answer, whatever the reason",
}
"""The failures that ``retry: {on: […]}`` can name, and what each means."""


_MAX_GUESSED = 200
"""Most characters of a word that is compared with others, which takes its time."""


def did_you_mean(word: str, choices: Iterable[str]) -> str | None:
    """A hint that names the closest of the choices, or lists them when they are few.

    >>> did_you_mean("tempature", ["temperature", "seed"])
    "did you mean 'temperature'?"
    """
    known = sorted(set(choices))
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6) if len(word) <= _MAX_GUESSED else []
    if close:
        return f"did you mean '{close[0]}'?"
    if known and len(known) <= 12:
        return "known: " + ", ".join(known)
    return None
