"""``metis-flow plan``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.options import (
    endpoint_option,
    file_argument,
    given_parameters,
    json_option,
    limit_option,
    parameter_options,
    part_of,
    part_options,
    runs_dir_option,
)

if TYPE_CHECKING:
    from metis_flow.inference.forecast import Forecast
    from metis_flow.plan.plan import Plan
    from metis_flow.plan.selection import Selection
    from metis_flow.views.outlook import Outlook


@click.command("plan")
@file_argument
@parameter_options
@limit_option
@part_options
@endpoint_option
@click.option("--instances", is_flag=True, help="A line for each instance: what would become of it, and why.")
@runs_dir_option
@json_option
def command(
    file: Path,
    assignments: tuple[str, ...],
    params_file: Path | None,
    limit: int | None,
    only: str | None,
    start: str | None,
    until: str | None,
    force: tuple[str, ...],
    no_cache: bool,
    endpoint: str | None,
    instances: bool,
    runs_dir: Path,
    as_json: bool,
) -> None:
    """Show what a run of FILE would do, and start nothing.

    Steps stand in an order in which each comes after those that it waits for. Chat steps run in the driver, the process
    that you start; all others on the site. Where there are earlier runs it says which results come from them, what
    would run, and what has changed. With --endpoint it also says how many calls and tokens a run will take, and the
    least time that the endpoint's rates allow.
    """
    from metis_flow.plan.plan import load_plan
    from metis_flow.views.forecast_table import forecast_as_json, print_forecast
    from metis_flow.views.plan_table import plan_as_json, print_plan

    plan = load_plan(file, given_parameters(assignments, params_file), limit=limit)
    expected = _forecast(plan, endpoint)
    outlook = _outlook(plan, endpoint, part_of(only, start, until), force, runs_dir, cache=not no_cache)
    if as_json:
        more = {"forecast": forecast_as_json(expected)} if expected is not None else {}
        more |= {"earlier_runs": outlook.as_json()} if outlook is not None else {}
        print_document(plan_as_json(plan) | more)
        return
    print_plan(plan, sys.stdout)
    if outlook is not None:
        outlook.print(sys.stdout, instances=instances)
    if expected is not None:
        print_forecast(expected, sys.stdout)


def _outlook(
    plan: Plan,
    endpoint: str | None,
    selection: Selection | None,
    forced: tuple[str, ...],
    runs_dir: Path,
    *,
    cache: bool,
) -> Outlook | None:
    """What earlier runs hold of this one; None where there is nothing to say of that."""
    from metis_flow.record.folder import list_runs

    if selection is None and not forced and not (cache and list_runs(runs_dir)):
        return None
    from metis_flow.engine.options import RunOptions
    from metis_flow.views.outlook import look_ahead

    options = RunOptions(
        endpoint=endpoint, runs_dir=runs_dir, cache=cache, forced=frozenset(forced), selection=selection
    )
    return look_ahead(plan, options)


def _forecast(plan: Plan, endpoint: str | None) -> Forecast | None:
    """What the run will ask of the endpoint, where the user names one."""
    if endpoint is None:
        return None
    from metis_flow.inference.endpoints import find_endpoint
    from metis_flow.inference.forecast import forecast

    return forecast(plan, find_endpoint(endpoint, beside=plan.workflow.folder))
