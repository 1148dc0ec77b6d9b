"""``metis-flow endpoints``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.options import json_option

if TYPE_CHECKING:
    from metis_flow.inference.endpoints import EndpointConfig
    from metis_flow.views.endpoints import Reach

ANSWER_SECONDS = 20.0


@click.command("endpoints")
@click.option("--check", is_flag=True, help="Ask each whether it can be reached, and who you are there.")
@json_option
def command(check: bool, as_json: bool) -> None:
    """List who may answer chat completions.

    These are the endpoints that come along, your own, and those in the current folder.
    """
    import asyncio

    from metis_flow.inference.endpoints import list_endpoints
    from metis_flow.views.endpoints import endpoint_as_json, print_endpoints

    endpoints = list_endpoints(beside=Path.cwd())
    reach = asyncio.run(_reach_all(endpoints)) if check else {}
    if as_json:
        print_document({"endpoints": [endpoint_as_json(each, reach.get(each.name)) for each in endpoints]})
    else:
        print_endpoints(endpoints, reach, sys.stdout)


async def _reach_all(endpoints: Sequence[EndpointConfig]) -> dict[str, Reach]:
    import asyncio

    found = await asyncio.gather(*map(_reach, endpoints))
    return {endpoint.name: reach for endpoint, reach in zip(endpoints, found, strict=True)}


async def _reach(endpoint: EndpointConfig) -> Reach:
    """What comes of asking an endpoint; no tokens are spent."""
    import asyncio

    from metis_flow.errors import MetisFlowError
    from metis_flow.views.endpoints import Reach

    try:
        return await asyncio.wait_for(_ask(endpoint), ANSWER_SECONDS)
    except MetisFlowError as error:
        return Reach(False, error.summary)
    except asyncio.TimeoutError:
        return Reach(False, f"no answer within {ANSWER_SECONDS:.0f} s")


async def _ask(endpoint: EndpointConfig) -> Reach:
    from metis_flow.inference.client import Inference
    from metis_flow.inference.models import list_models, whoami
    from metis_flow.views.endpoints import Reach

    inference = Inference(endpoint)
    await inference.open()
    try:
        models = await list_models(inference)
        person = await whoami(inference)
    finally:
        await inference.close()
    count = "1 model" if len(models) == 1 else f"{len(models)} models"
    return Reach(True, count, who=person.get("username") or person.get("name"))
