"""``metis-flow graph``."""

from __future__ import annotations

from pathlib import Path

import click

from metis_flow.cli.options import file_argument


@click.command("graph")
@file_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["mermaid", "dot"]),
    default="mermaid",
    show_default=True,
    help="For Mermaid (Markdown pages draw it) or for Graphviz.",
)
def command(file: Path, form: str) -> None:
    """Draw the steps of FILE and what they wait for, as text.

    Fan-outs have a double frame. Thick arrows go item by item, dashed ones are `needs`.
    """
    from metis_flow.plan.graph import make_graph
    from metis_flow.views.graph_text import dot, mermaid
    from metis_flow.workflow.load import load_workflow

    workflow = load_workflow(file)
    draw = dot if form == "dot" else mermaid
    click.echo(draw(workflow, make_graph(workflow)), nl=False)
