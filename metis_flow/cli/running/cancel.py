"""``metis-flow cancel``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.options import json_option, run_argument, runs_dir_option
from metis_flow.errors import RecordError, did_you_mean

if TYPE_CHECKING:
    from metis_flow.record.folder import RunFolder

ANSWER_SECONDS = 30.0
"""How long the driver is given to hear: it looks every second, unless its file system is slow."""


@click.command("cancel")
@run_argument
@click.argument("target", metavar="[STEP[@KEY]]", required=False)
@click.option("--now", is_flag=True, help="Do not wait for calls in flight either: their answers are lost.")
@runs_dir_option
@json_option
def command(ref: str, target: str | None, now: bool, runs_dir: Path, as_json: bool) -> None:
    """End a RUN that goes on, a step of it, or one instance.

    It works from any shell that sees the record.

    A run that is cancelled starts nothing more, ends what runs on the site, keeps the answers that are on their way,
    and can be resumed. A step or an instance that is cancelled fails, and the rest of the run goes on;
    `metis-flow resume RUN --failed` runs it again.
    """
    from metis_flow.engine.wishes import CANCEL, CANCEL_AT_ONCE
    from metis_flow.record.folder import find_run
    from metis_flow.record.requests import request

    folder = find_run(ref, runs_dir)
    _require(folder, target)
    wish = request(folder, CANCEL_AT_ONCE if now else CANCEL, target)
    heard = _wait_until_gone(wish.path)
    if not heard:
        wish.settle()
        raise RecordError(
            "the process that drives the run does not answer",
            where=folder.id,
            hint=f"see 'metis-flow status {folder.id}'; the wish was taken back",
        )
    what = target or "the run"
    if as_json:
        print_document({"run": folder.id, "cancelled": target})
    else:
        click.echo(f"{what} is cancelled; watch it with 'metis-flow status {folder.id}'")


def _require(folder: RunFolder, target: str | None) -> None:
    """Refuse what nobody can fulfil.

    Raises:
        RecordError: the run does not go on, or has no such step.
    """
    from metis_flow.record.lockfile import read_lock
    from metis_flow.record.state import RunState
    from metis_flow.workflow.load import load_workflow

    state = RunState.read(folder)
    if state.status != "running":
        raise RecordError(
            f"the run does not go on: it is {state.status}",
            where=folder.id,
            hint="there is nothing to cancel; see 'metis-flow show'",
        )
    if target is None:
        return
    steps = load_workflow(Path(read_lock(folder).workflow)).steps
    step = target.partition("@")[0]
    if step not in steps:
        raise RecordError(f"the run has no step '{step}'", where=folder.id, hint=did_you_mean(step, steps))


def _wait_until_gone(path: Path) -> bool:
    """Wait for the driver to take the wish off its list; whether it did."""
    last = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < last:
        if not path.exists():
            return True
        time.sleep(0.1)
    return False
