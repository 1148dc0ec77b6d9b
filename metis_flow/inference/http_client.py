"""openai's HTTP client on aiohttp, without the rest of the openai package.

That client is a small package of its own inside openai. All of openai takes half a second to import, most of it for
types of answers that are not used here: a third of the time from the start of a run to its first call, and more where
a parallel file system has to look up each of its two thousand files. Where openai keeps it elsewhere, openai is imported.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from httpx2 import AsyncClient

PLACE = ("_vendor", "httpx_aiohttp")
NAME = "metis_flow_openai_httpx_aiohttp"


def http_client(**options: Any) -> AsyncClient:
    """A client with these options of ``httpx2.AsyncClient``, on aiohttp."""
    return _client_class()(**options)


def _client_class() -> type[AsyncClient]:
    """The class; by way of openai where that is loaded already, or keeps it elsewhere."""
    found = None if "openai" in sys.modules else _alone()
    if found is not None:
        return found
    from openai import DefaultAioHttpClient

    return DefaultAioHttpClient


def _alone() -> type[AsyncClient] | None:
    if NAME not in sys.modules:
        package = find_spec("openai")
        if package is None or package.origin is None:
            return None
        folder = Path(package.origin).parent.joinpath(*PLACE)
        spec = spec_from_file_location(NAME, folder / "__init__.py", submodule_search_locations=[str(folder)])
        if spec is None or spec.loader is None or not (folder / "__init__.py").exists():
            return None
        module = sys.modules[NAME] = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except ImportError:
            del sys.modules[NAME]
            return None
    return getattr(sys.modules[NAME], "Httpx2AiohttpClient", None)
