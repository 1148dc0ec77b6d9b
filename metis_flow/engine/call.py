"""Calls a Python function for an instance: a task of the library, or ``module:function`` beside the workflow."""

from __future__ import annotations

import contextlib
import inspect
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from types import GeneratorType
from typing import Any

from metis_flow.engine.outcome import CallTask, Outcome
from metis_flow.engine.validate import check_schema
from metis_flow.errors import MetisFlowError, StepFailed, TaskFailed, TimedOut, WorkerLost
from metis_flow.record.rows_file import line_of, write_rows_file
from metis_flow.tasks import find_task, load_function, rows_params, to_json
from metis_flow.units import format_duration
from metis_flow.workflow.rows import FileRows, Rows

TAIL_FRAMES = 6
MOST_IN_JOURNAL = 2**20
"""Bytes of JSON; the rows of a longer list are kept in a file."""

Find = Callable[[CallTask], Callable[..., Any]]
"""Finds the function of a task."""


def run_call(task: CallTask, find: Find | None = None) -> Outcome:
    """Call the function of one instance; with a timeout in a process that can be ended.

    Args:
        find: finds the function, where that has been done before; else it is looked for.
    """
    if task.timeout is not None:
        return _in_process(task, task.timeout)
    began = time.time()
    try:
        function = (find or find_function)(task)
        signature = _signature(function)
        own_only = _takes_outputs_dir(task, signature)
        value = _call(task, function, signature, {"outputs_dir": task.outputs_dir} if own_only else {})
        check_schema(value, task.schema)
    except MetisFlowError as error:
        if error.where not in (None, task.label):  # a place in the user's own file: shown below the step's name
            error.detail = "\n".join(part for part in (error.where, error.detail) if part)
        error.where = task.label
        return Outcome(error=error, began=began, ended=time.time())
    folder = os.path.relpath(task.folder, task.run_folder) if isinstance(value, FileRows) and task.folder else None
    return Outcome(value=value, began=began, ended=time.time(), folder=folder, own_only=own_only)


def find_function(task: CallTask) -> Callable[..., Any]:
    """The function of a task.

    Raises:
        MetisFlowError: it is not there, or cannot be loaded.
    """
    folder = Path(task.workflow_folder)
    return find_task(task.target, folder).func if task.verb == "uses" else load_function(task.target, folder)


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # a builtin has none
        return None


def _takes_outputs_dir(task: CallTask, signature: inspect.Signature | None) -> bool:
    """Whether the function asks for the run's folder for results, and the step does not name another."""
    return signature is not None and "outputs_dir" in signature.parameters and "outputs_dir" not in task.arguments


def _call(
    task: CallTask, function: Callable[..., Any], signature: inspect.Signature | None, given: dict[str, Any]
) -> Any:
    arguments = task.arguments | given
    if signature is not None:
        _check_arguments(task, signature, arguments)
    streamed = rows_params(function) if task.verb == "uses" else frozenset()
    for name, value in arguments.items():
        if isinstance(value, Rows) and name not in streamed:
            arguments[name] = list(value)
    try:
        result = function(**arguments)
    except MetisFlowError:
        raise
    except BaseException as error:  # whatever it raises is its own: a KeyboardInterrupt would never reach the driver
        raise _raised(task, error) from None
    return _kept(task, result)


def _raised(task: CallTask, error: BaseException) -> TaskFailed:
    summary = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return TaskFailed(
        summary[:500], where=task.label, hint=f"it was raised in {task.target}", detail=_own_frames(error)
    )


def _kept(task: CallTask, result: Any) -> Any:
    """The result as JSON. Of a list that is too long for a line of the journal, the rows are kept in a file.

    Raises:
        StepFailed: they cannot be.
    """
    if isinstance(result, GeneratorType | Rows):
        rows = _rows(task, iter(result))
    else:
        value = to_json(result)
        if not isinstance(value, list):
            return value
        rows = iter(value)
    if task.schema is not None or task.folder is None or task.run_folder is None or not os.path.isdir(task.run_folder):
        return list(rows)
    first: list[Any] = []
    lines: list[bytes] = []
    size = 0
    for row in rows:
        first.append(row)
        lines.append(line_of(row))
        size += len(lines[-1])
        if size > MOST_IN_JOURNAL:
            break
    else:
        return first
    first.clear()
    try:
        return write_rows_file(chain(lines, map(line_of, rows)), Path(task.folder), within=Path(task.run_folder))
    except OSError as error:
        hint = "free some space, and go on with 'metis-flow resume RUN --failed'"
        raise StepFailed(f"its rows cannot be kept: {error.strerror}", where=task.label, hint=hint) from None


def _rows(task: CallTask, result: Iterator[Any]) -> Iterator[Any]:
    """What a generator yields, as JSON."""
    for number in count():
        try:
            row = next(result)
        except StopIteration:
            return
        except MetisFlowError:
            raise
        except BaseException as error:
            raise _raised(task, error) from None
        yield to_json(row, f"result[{number}]")


def _check_arguments(task: CallTask, signature: inspect.Signature, arguments: dict[str, Any]) -> None:
    try:
        signature.bind(**arguments)
    except TypeError as error:
        hint = f"{task.target} takes {signature}"
        raise TaskFailed(f"'with' does not fit the function: {error}", where=task.label, hint=hint) from None


def _own_frames(error: BaseException) -> str:
    """The end of the traceback, without the frames of the engine itself."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    return "".join(traceback.format_list(frames[-TAIL_FRAMES:])).rstrip()


def _in_process(task: CallTask, timeout: float) -> Outcome:
    began = time.time()
    with tempfile.TemporaryDirectory(prefix="metis-flow-") as folder:
        answer = Path(folder, "outcome")
        process = subprocess.Popen(
            [sys.executable, "-m", "metis_flow.engine.call", str(answer)],
            stdin=subprocess.PIPE,
            stdout=sys.stderr.fileno() if _has_descriptor(sys.stderr) else subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.communicate(pickle.dumps(replace(task, timeout=None)), timeout)
        except subprocess.TimeoutExpired:
            limit = format_duration(timeout)
            error: MetisFlowError = TimedOut(
                f"ended after its timeout of {limit}", where=task.label, hint="raise 'timeout'"
            )
            return Outcome(error=error, began=began, ended=time.time())
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if answer.exists():
            outcome: Outcome = pickle.loads(answer.read_bytes())
            return outcome
    lost = WorkerLost(f"the function's process ended with exit code {process.returncode}", where=task.label)
    return Outcome(error=lost, began=began, ended=time.time())


def _has_descriptor(stream: Any) -> bool:
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    outcome = run_call(pickle.load(sys.stdin.buffer))
    part = Path(sys.argv[1] + ".part")
    part.write_bytes(pickle.dumps(outcome))
    part.rename(sys.argv[1])
