"""Globus Compute: steps on an endpoint that another facility runs. Needs the extra ``globus-compute``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from metis_flow.errors import ConfigError
from metis_flow.sites.config import SiteConfig
from metis_flow.sites.executors import GlobusComputeConfig

if TYPE_CHECKING:
    from parsl.executors.base import ParslExecutor


def globus_compute_executor(site: SiteConfig, name: str, config: GlobusComputeConfig) -> ParslExecutor:
    """Parsl's executor for an endpoint. Making it asks Globus who you are.

    Raises:
        ConfigError: the SDK is not installed, or the site names no endpoint.
    """
    try:
        sdk = import_module("globus_compute_sdk")
    except ImportError:
        raise ConfigError(
            f"the site '{site.name}' needs the Globus Compute SDK, which is not installed",
            where=str(site.source),
            hint="install it here: pip install 'metis-flow[globus-compute]'",
        ) from None
    if config.endpoint is None:
        raise ConfigError(
            f"the executor '{name}' of the site '{site.name}' names no Globus Compute endpoint",
            where=str(site.source),
            hint=f"say --set executors.{name}.endpoint=UUID",
        )
    from parsl.executors import GlobusComputeExecutor

    sender = sdk.Executor(endpoint_id=config.endpoint, user_endpoint_config=dict(config.user_endpoint_config) or None)
    return GlobusComputeExecutor(executor=sender, label=name)


def run_on_endpoint(kind: str, task: Any) -> Any:
    """Run one task at an endpoint. It may be sent there as source text, and so uses only what it imports itself.

    Args:
        kind: ``call`` for a function, ``shell`` for a script.
        task: the payload of `metis_flow.engine.call.run_call` or of `metis_flow.engine.shell.run_shell`.

    Returns:
        Its outcome.
    """
    from importlib import import_module

    module = import_module("metis_flow.engine.call" if kind == "call" else "metis_flow.engine.shell")
    return (module.run_call if kind == "call" else module.run_shell)(task)
