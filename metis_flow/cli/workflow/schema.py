"""``metis-flow schema``."""

from __future__ import annotations

from typing import Any

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
    print_document(workflow_schema())


def workflow_schema() -> dict[str, Any]:
    """The JSON Schema of workflow files."""
    from metis_flow.workflow.models import WorkflowFile

    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | WorkflowFile.model_json_schema(by_alias=True)
