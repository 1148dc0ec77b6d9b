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
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Write a picture instead, as SVG.")
def command(file: Path, form: str, svg: Path | None) -> None:
    """Draw the steps of FILE and what they wait for, as text or SVG.

    Fan-outs have a double frame. Thick arrows go item by item, dashed ones are `needs`.
    """
    from metis_flow.errors import UsageError
    from metis_flow.plan.graph import make_graph
    from metis_flow.views.graph_text import dot, mermaid
    from metis_flow.workflow.load import load_workflow

    workflow = load_workflow(file)
    if svg is not None:
        from metis_flow.views.graph_drawing import graph_svg

        try:
            svg.write_text(graph_svg(workflow, make_graph(workflow)), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"the picture cannot be written: {error.strerror}", where=str(svg)) from None
        return
    draw = dot if form == "dot" else mermaid
    click.echo(draw(workflow, make_graph(workflow)), nl=False)
