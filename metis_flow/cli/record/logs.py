"""``metis-flow logs``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from metis_flow.cli.documents import print_document, reader_may_leave
from metis_flow.cli.options import json_option, run_argument, runs_dir_option
from metis_flow.errors import RecordError, did_you_mean

if TYPE_CHECKING:
    from metis_flow.record.folder import RunFolder


@click.command("logs")
@run_argument
@click.argument("target", metavar="[STEP[@KEY]]", required=False)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until nobody drives the RUN any more.")
@runs_dir_option
@json_option
def command(ref: str, target: str | None, following: bool, runs_dir: Path, as_json: bool) -> None:
    """Print the journal of a RUN, a line for each event.

    With STEP only what is about that step. With STEP@KEY only what is about that instance, and then what its script
    wrote to standard output and standard error.
    """
    from metis_flow.record.folder import find_run
    from metis_flow.record.journal import read_journal
    from metis_flow.views.following import follow
    from metis_flow.views.journal_lines import journal_line

    if following and as_json:
        raise click.UsageError("--follow prints lines as they come, and --json one document at the end: choose one")
    folder = find_run(ref, runs_dir)
    is_about = _chooser(folder, target)
    if as_json:
        print_document({"run": folder.id, "entries": list(filter(is_about, read_journal(folder.journal)))})
        return
    with reader_may_leave():
        for entry in filter(is_about, follow(folder) if following else read_journal(folder.journal)):
            click.echo(journal_line(entry))
            if following:
                sys.stdout.flush()
        if target is not None and "@" in target:
            _print_streams(folder, target)


def _chooser(folder: RunFolder, target: str | None) -> Callable[[Mapping[str, Any]], bool]:
    """Which entries are asked for.

    Raises:
        RecordError: the run has no such step.
    """
    if target is None:
        return lambda entry: True
    from metis_flow.plan.items import address
    from metis_flow.record.state import RunState

    step, at, key = target.partition("@")
    state = RunState.read(folder)
    steps = {*state.steps, *(state.tick.get("steps") or {})}
    if step not in steps:
        raise RecordError(f"the run has no step '{step}'", where=folder.id, hint=did_you_mean(step, steps))
    wanted = {key, target}

    def is_about(entry: Mapping[str, Any]) -> bool:
        if entry.get("step") != step:
            return False
        own = entry.get("key")
        return not at or own in wanted or (isinstance(own, str) and address(step, own) == target)

    return is_about


def _print_streams(folder: RunFolder, target: str) -> None:
    from metis_flow.record.state import read_instances
    from metis_flow.views.streams import print_streams

    step, _, key = target.partition("@")
    for entry in read_instances(folder, step, key):
        if entry.get("folder"):
            print_streams(folder, entry["folder"], sys.stdout)
