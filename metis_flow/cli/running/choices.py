"""What `run` and `resume` let a user choose besides the workflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from metis_flow.cli.options import (
    endpoint_option,
    part_of,
    part_options,
    settings_option,
    site_option,
    time_limit_of,
    time_limit_option,
    wait_option,
    waiting,
)

if TYPE_CHECKING:
    from metis_flow.engine.options import RunOptions

_F = TypeVar("_F", bound=Callable[..., Any])


class Choices(TypedDict):
    """The options as click gives them."""

    endpoint: str | None
    site: str | None
    settings: tuple[str, ...]
    only: str | None
    start: str | None
    until: str | None
    force: tuple[str, ...]
    no_cache: bool
    wait: str | None
    time_limit: str | None


def choice_options(command: _F) -> _F:
    """The options of `Choices`."""
    for option in (time_limit_option, wait_option, part_options, settings_option, site_option, endpoint_option):
        command = option(command)
    return command


def run_options(choices: Choices, **more: Any) -> RunOptions:
    """The engine's options.

    Args:
        more: further ones, as `RunOptions` calls them.

    Raises:
        UsageError: the time limit is no duration.
    """
    seconds = time_limit_of(choices["time_limit"])

    from metis_flow.engine.options import RunOptions

    return RunOptions(
        endpoint=choices["endpoint"],
        site=choices["site"],
        settings=choices["settings"],
        wait=waiting(choices["wait"]),
        handle_signals=True,
        time_limit=seconds,
        cache=not choices["no_cache"],
        forced=frozenset(choices["force"]),
        selection=part_of(choices["only"], choices["start"], choices["until"]),
        **more,
    )
