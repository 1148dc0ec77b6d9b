"""metis-flow: workflows of chat completions and computations, from one YAML file.

The public names are loaded when they are first used, so that ``import metis_flow`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from metis_flow._version import __version__

if TYPE_CHECKING:
    from metis_flow.api import Run, Workflow
    from metis_flow.tasks import task

__all__ = ["Run", "Workflow", "__version__", "task"]

_HOMES = {"Run": "metis_flow.api", "Workflow": "metis_flow.api", "task": "metis_flow.tasks"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'metis_flow' has no attribute '{name}'")
