"""A site as it comes out: each value with its origin, and what Parsl is told."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_flow.sites.config import SiteConfig, read_site
from metis_flow.sites.executors import GlobusComputeConfig
from metis_flow.sites.layers import Layers

ALWAYS = frozenset(
    {
        "prefetch_capacity",
        "heartbeat_period",
        "heartbeat_threshold",
        "encrypted",
        "nodes_per_block",
        "init_blocks",
        "min_blocks",
        "max_blocks",
    }
)
"""Arguments worth showing also where they are Parsl's own defaults."""
_HIDDEN = frozenset({"self", "label", "remote_monitoring_radio"})
RUN_DIR = "RUN/parsl"
"""What stands for the private folder of a run."""


@dataclass(frozen=True)
class Value:
    """One value of a site: its dotted name, and the file and line or the setting that it comes from."""

    name: str
    value: Any
    origin: str


@dataclass(frozen=True)
class Description:
    """A site, resolved.

    Attributes:
        values: what its file, those it extends and the settings say.
        hosts: the nodes of the allocation, or of an imagined one.
        imagined: whether there is no allocation here, though the site is for one.
        parsl: the arguments that each executor of Parsl is made with; most of those that are its defaults are left out.
    """

    site: SiteConfig
    values: Sequence[Value]
    hosts: Sequence[str]
    imagined: bool
    parsl: Mapping[str, Any]


def describe_site(name_or_path: str, *, beside: Path | None = None, settings: Sequence[str] = ()) -> Description:
    """A site with all that follows from it; nothing is started.

    Raises:
        ConfigError: as `find_site`.
    """
    from metis_flow.sites.allocation import site_hosts
    from metis_flow.sites.providers import is_here

    site, layers = read_site(name_or_path, beside=beside, settings=settings)
    here = any(is_here(site, config) for config in site.executors.values())
    imagined = here and site.scheduler is not None and not _is_inside(site)
    if imagined:
        hosts: Sequence[str] = [f"node{number}" for number in range(1, (site.nodes or 1) + 1)]
    else:
        hosts = site_hosts(site) if here else ()
    return Description(site, list(_values(layers)), hosts, imagined, _parsl(site, hosts))


def _is_inside(site: SiteConfig) -> bool:
    from metis_flow.sites.allocation import allocated_hosts

    return site.scheduler is not None and allocated_hosts(site.scheduler) is not None


def _values(layers: Layers) -> Iterator[Value]:
    for place, value in _leaves(layers.data, ()):
        layer = layers.origin(place)
        line = f":{layer.document.span(place).line}" if layer.document is not None else ""
        yield Value(".".join(place), value, f"{layer.shown_as}{line}")


def _leaves(data: Mapping[str, Any], place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in data.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*place, name))
        else:
            yield (*place, name), value


def _parsl(site: SiteConfig, hosts: Sequence[str]) -> dict[str, Any]:
    from metis_flow.sites.choice import Use
    from metis_flow.sites.parsl_config import host_parts, parsl_config

    told: dict[str, Any] = {}
    used = {name: Use((), {}) for name in site.executors}
    parts = host_parts(site, used, hosts) if site.split else {}
    for name, config in site.executors.items():
        if isinstance(config, GlobusComputeConfig):  # making this one would ask for a login
            told[name] = {
                "class": "GlobusComputeExecutor",
                "endpoint_id": config.endpoint,
                "user_endpoint_config": config.user_endpoint_config,
            }
            continue
        with tempfile.TemporaryDirectory() as folder:
            made = parsl_config(site, Path(folder), {name: used[name]}, hosts=parts.get(name, hosts))
            told[name] = _plain(describe_object(made.executors[0]), folder)
    return told


def describe_object(thing: Any) -> dict[str, Any]:
    """One of Parsl's objects, by the arguments that it was made with."""
    told: dict[str, Any] = {"class": type(thing).__name__}
    for name, parameter in inspect.signature(type(thing).__init__).parameters.items():
        value = getattr(thing, name, parameter.default)
        if name in _HIDDEN or value in (None, (), [], "", float("inf")):
            continue
        if value == parameter.default and name not in ALWAYS:
            continue
        if callable(value) and hasattr(value, "__name__"):
            told[name] = value.__name__
        elif type(value).__module__.startswith("parsl."):
            told[name] = describe_object(value)
        else:
            told[name] = value
    return told


def _plain(value: Any, folder: str) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part, folder) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, folder) for part in value]
    return value.replace(folder, RUN_DIR).strip() if isinstance(value, str) else value
