"""``metis-flow models``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.options import json_option

if TYPE_CHECKING:
    from metis_flow.inference.endpoints import EndpointConfig
    from metis_flow.inference.models import ModelInfo


@click.command("models")
@click.option("--endpoint", metavar="E", default="metis", show_default=True, help="Who is asked: a name or a file.")
@json_option
def command(endpoint: str, as_json: bool) -> None:
    """List the models of an endpoint: status, context and limits."""
    import asyncio

    from metis_flow.inference.endpoints import find_endpoint
    from metis_flow.views.models import model_as_json, print_models

    config = find_endpoint(endpoint, beside=Path.cwd())
    models = asyncio.run(_ask(config))
    if as_json:
        print_document({"endpoint": config.name, "models": [model_as_json(model) for model in models]})
    elif models:
        print_models(models, sys.stdout)
    else:
        click.echo(f"the endpoint '{config.name}' does not tell its models", err=True)


async def _ask(endpoint: EndpointConfig) -> list[ModelInfo]:
    from metis_flow.inference.client import Inference
    from metis_flow.inference.models import list_models

    inference = Inference(endpoint)
    await inference.open()
    try:
        return await list_models(inference)
    finally:
        await inference.close()
