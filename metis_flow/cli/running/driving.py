"""Drives a run with its progress shown, and tells what came of it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metis_flow.cli.documents import print_document, reader_may_leave
from metis_flow.cli.naming import run_name
from metis_flow.errors import EXIT_FAILED, EXIT_LOGIN

if TYPE_CHECKING:
    from metis_flow.engine.progress import Progress
    from metis_flow.record.state import RunState

OnStart = Callable[["Progress"], None]


def drive_and_tell(
    drive: Callable[[OnStart], RunState],
    runs_dir: Path,
    *,
    as_json: bool,
    remark: Callable[[], str | None] = lambda: None,
) -> int:
    """Drive a run to its end; its exit code.

    Progress and everything about the run goes to standard error, its outputs or document to standard output.

    Args:
        drive: starts the run with what `RunOptions.on_start` should be, and returns when it has ended.
        runs_dir: where the user has the records.
        remark: a last line about the run, if there is one.
    """
    from metis_flow.views.progress import progress_view

    view = progress_view(sys.stderr, os.environ)
    try:
        state = drive(view.start)
    finally:
        view.stop()
    _tell(state, runs_dir, as_json=as_json)
    line = remark()
    if line is not None:
        with contextlib.suppress(BrokenPipeError):
            sys.stderr.write(line + "\n")
    return EXIT_FAILED if state.exit_code is None else state.exit_code


def _tell(state: RunState, runs_dir: Path, *, as_json: bool) -> None:
    from metis_flow.record.folder import RunFolder
    from metis_flow.views.outputs import print_outputs
    from metis_flow.views.run_end import print_end
    from metis_flow.views.values import near

    folder = RunFolder(Path(state.path))
    name = run_name(folder, runs_dir)
    with reader_may_leave():
        if as_json:
            print_document(_document(state))
        else:
            print_outputs(state.outputs or {}, sys.stdout, whole=near(folder.outputs / "outputs.json"))
    with contextlib.suppress(BrokenPipeError):
        print_end(state, folder, sys.stderr, name=name)


def _document(state: RunState) -> Mapping[str, Any]:
    """The run's document; of one that waits for a login, with the error that says so."""
    if state.exit_code != EXIT_LOGIN:
        return state.as_json()
    error = {"summary": state.reason, "where": state.id, "hint": state.hint, "code": EXIT_LOGIN}
    return state.as_json() | {"error": error}
