"""``metis-flow schema``."""

from __future__ import annotations

import click

from metis_flow.cli.documents import print_document


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of workflow files, for editors.

    \b
    Put it beside a workflow, and name it in the workflow's first line:
      metis-flow schema > metis-flow.schema.json
      # yaml-language-server: $schema=./metis-flow.schema.json
    """
    from metis_flow.workflow.json_schema import workflow_schema  # pydantic is slow to load; help must not wait for it

    print_document(workflow_schema())
