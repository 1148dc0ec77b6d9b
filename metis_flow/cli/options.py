"""Options that several commands have, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from metis_flow.errors import UsageError

if TYPE_CHECKING:
    from metis_flow.inference.models import Wait
    from metis_flow.plan.selection import Selection

_F = TypeVar("_F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, and nothing else.")
run_argument = click.argument("ref", metavar="RUN")
file_argument = click.argument("file", type=click.Path(path_type=Path))
runs_dir_option = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default="runs",
    show_default=True,
    help="The folder of the runs' records.",
)
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N items of each first fan-out."
)

endpoint_option = click.option(
    "--endpoint", metavar="E", help="Who answers: a name or a file; see `metis-flow endpoints`."
)
site_option = click.option("--site", metavar="S", help="Where steps run: a name or a file; see `metis-flow sites`.")
settings_option = click.option(
    "--set",
    "settings",
    metavar="FIELD=VALUE",
    multiple=True,
    help="A setting of the site, such as account=PROJECT; may be repeated. See `metis-flow sites show NAME`.",
)
wait_option = click.option(
    "--wait",
    is_flag=False,
    flag_value="coming",
    type=click.Choice(["coming", "any"]),
    help="Wait for a login, and for models that are Starting or Queued; `--wait any` for Offline or Stopped ones too.",
)

time_limit_option = click.option(
    "--time-limit",
    metavar="T",
    help="End by then (50m, 2h, 1d), with a record that can be resumed. A job's walltime counts by itself.",
)


def waiting(word: str | None) -> Wait | None:
    """What `--wait` means to the engine."""
    return None if word is None else "any" if word == "any" else "coming"


def time_limit_of(word: str | None) -> float | None:
    """Seconds of ``--time-limit``.

    Raises:
        UsageError: it is no duration.
    """
    if word is None:
        return None
    from metis_flow.units import parse_duration

    try:
        return parse_duration(word)
    except ValueError as error:
        raise UsageError(f"--time-limit: {error}", hint="write 90s, 50m, 2h or 1d") from None


def part_options(command: _F) -> _F:
    """``--only``, ``--from``, ``--until``, ``--force`` and ``--no-cache``, for `part_of` and `RunOptions`."""
    options = (
        click.option("--only", metavar="STEP", help="Run this step alone; what it needs comes from earlier runs."),
        click.option("--from", "start", metavar="STEP", help="Run this step and those after it; likewise."),
        click.option("--until", metavar="STEP", help="Run this step and what it needs."),
        click.option("--force", metavar="STEP", multiple=True, help="Run this step again; may be repeated."),
        click.option("--no-cache", is_flag=True, help="Use nothing that earlier runs have made."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def part_of(only: str | None, start: str | None, until: str | None) -> Selection | None:
    """The part of a workflow that the user selected; None for all of it."""
    if only is start is until is None:
        return None
    from metis_flow.plan.selection import Selection

    return Selection(only, start, until)


def parameter_options(command: _F) -> _F:
    """``-p`` and ``--params``, for `given_parameters`."""
    assignments = click.option(
        "-p",
        "assignments",
        metavar="NAME=VALUE",
        multiple=True,
        help="A parameter's value; may be repeated. A path is relative to the current folder.",
    )
    file = click.option(
        "--params",
        "params_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Values of parameters from a YAML or JSON file; -p goes before them.",
    )
    return assignments(file(command))


def given_parameters(assignments: Sequence[str], params_file: Path | None) -> dict[str, Any]:
    """The parameters that the user gave.

    Raises:
        ParameterError: the file cannot be read, or a text is not NAME=VALUE.
    """
    from metis_flow.workflow.params import parse_assignment, read_params

    given = read_params(params_file) if params_file is not None else {}
    return given | dict(map(parse_assignment, assignments))
