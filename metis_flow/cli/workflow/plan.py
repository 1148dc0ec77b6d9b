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
)

if TYPE_CHECKING:
    from metis_flow.inference.forecast import Forecast
    from metis_flow.plan.plan import Plan


@click.command("plan")
@file_argument
@parameter_options
@limit_option
@endpoint_option
@json_option
def command(
    file: Path,
    assignments: tuple[str, ...],
    params_file: Path | None,
    limit: int | None,
    endpoint: str | None,
    as_json: bool,
) -> None:
    """Show what a run of FILE would do, and start nothing.

    Steps stand in an order in which each comes after those that it waits for. Chat steps run in the driver, the process
    that you start; all others on the site. With --endpoint it also says how many calls and tokens a run will take, and
    the least time that the endpoint's rates allow.
    """
    from metis_flow.plan.plan import load_plan
    from metis_flow.views.forecast_table import forecast_as_json, print_forecast
    from metis_flow.views.plan_table import plan_as_json, print_plan

    plan = load_plan(file, given_parameters(assignments, params_file), limit=limit)
    expected = _forecast(plan, endpoint)
    if as_json:
        print_document(plan_as_json(plan) | ({"forecast": forecast_as_json(expected)} if expected is not None else {}))
        return
    print_plan(plan, sys.stdout)
    if expected is not None:
        print_forecast(expected, sys.stdout)


def _forecast(plan: Plan, endpoint: str | None) -> Forecast | None:
    """What the run will ask of the endpoint, where the user names one."""
    if endpoint is None:
        return None
    from metis_flow.inference.endpoints import find_endpoint
    from metis_flow.inference.forecast import forecast

    return forecast(plan, find_endpoint(endpoint, beside=plan.workflow.folder))
