"""``metis-flow validate``."""

from __future__ import annotations

from pathlib import Path

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.options import file_argument, given_parameters, json_option, parameter_options


@click.command("validate")
@file_argument
@parameter_options
@json_option
def command(file: Path, assignments: tuple[str, ...], params_file: Path | None, as_json: bool) -> None:
    """Check a workflow FILE, and report all its mistakes.

    Parameters without a default need no value; with one, what follows from it is checked too.
    """
    from metis_flow.plan.graph import make_graph
    from metis_flow.plan.plan import make_plan
    from metis_flow.views.safe_text import one_line
    from metis_flow.workflow.load import load_workflow

    workflow = load_workflow(file)
    given = given_parameters(assignments, params_file)
    open_parameters = [
        name for name, spec in workflow.params.items() if "default" not in spec.model_fields_set and name not in given
    ]
    if open_parameters:
        make_graph(workflow)
    else:
        make_plan(workflow, given)
    if as_json:
        print_document(
            {"file": str(file), "valid": True, "steps": list(workflow.steps), "without_value": open_parameters}
        )
        return
    count = len(workflow.steps)
    text = f"{one_line(file)}: fine: {count} step{'' if count == 1 else 's'}"
    if open_parameters:
        text += f"; not checked with values: {', '.join(open_parameters)}"
    click.echo(text)
