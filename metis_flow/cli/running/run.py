"""``metis-flow run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from metis_flow.cli.options import (
    file_argument,
    given_parameters,
    json_option,
    limit_option,
    parameter_options,
    runs_dir_option,
)
from metis_flow.cli.running.choices import Choices, choice_options, run_options

if TYPE_CHECKING:
    from typing_extensions import Unpack


@click.command("run")
@file_argument
@parameter_options
@limit_option
@choice_options
@runs_dir_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    file: Path,
    assignments: tuple[str, ...],
    params_file: Path | None,
    limit: int | None,
    runs_dir: Path,
    as_json: bool,
    **choices: Unpack[Choices],
) -> None:
    """Run a workflow FILE to its end, and print its outputs.

    Progress goes to standard error. Ctrl-C lets what runs finish and ends the run so that it can be resumed; a second
    one ends it at once. What an earlier run in the same folder has made is taken from there, where nothing that it
    depends on has changed: `metis-flow plan FILE` says which results those are.
    """
    from metis_flow.plan.plan import load_plan

    plan = load_plan(file, given_parameters(assignments, params_file), limit=limit)

    # The engine takes half a second to load: mistakes in the file are told before.
    from metis_flow.cli.running.driving import OnStart, drive_and_tell
    from metis_flow.engine.progress import Progress
    from metis_flow.engine.run import start_run
    from metis_flow.record.state import RunState
    from metis_flow.views.extrapolation import extrapolation

    seen: list[Progress] = []

    def drive(on_start: OnStart) -> RunState:
        def begin(progress: Progress) -> None:
            seen.append(progress)
            on_start(progress)

        options = run_options(choices, runs_dir=runs_dir, on_start=begin)
        return start_run(plan, options)

    def remark() -> str | None:
        return extrapolation(plan, seen[0]) if seen and limit is not None else None

    context.exit(drive_and_tell(drive, runs_dir, as_json=as_json, remark=remark))
