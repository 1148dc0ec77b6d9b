"""openai's HTTP client, and what is loaded for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from metis_flow.inference import http_client

MAKE = """\
import asyncio, sys
from metis_flow.inference import http_client
{before}
async def main():
    client = http_client.http_client(trust_env=False)
    names = {{kind.__name__ for kind in type(client).__mro__}}
    assert "Httpx2AiohttpClient" in names and "Aiohttp" in type(client._transport).__name__, names
    await client.aclose()
asyncio.run(main())
print("openai" in sys.modules)
"""


@pytest.mark.parametrize(
    ("before", "loads_openai"),
    [
        ("", False),
        ("http_client.PLACE = ('moved',)", True),
        ("http_client.PLACE = ('_models.py',)", True),
        ("import openai", True),
    ],
)
def test_all_of_openai_is_loaded_only_where_its_client_cannot_be_had_alone(before: str, loads_openai: bool) -> None:
    done = subprocess.run([sys.executable, "-c", MAKE.format(before=before)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{loads_openai}\n", "")


def test_the_class_is_loaded_once() -> None:
    assert http_client._client_class() is http_client._client_class()
