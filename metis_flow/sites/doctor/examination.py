"""All checks of a site, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from metis_flow.inference.endpoints import EndpointConfig
from metis_flow.sites.config import SiteConfig
from metis_flow.sites.doctor.answers import about_login, about_reach
from metis_flow.sites.doctor.finding import Finding
from metis_flow.sites.doctor.here import about_python, about_runs, about_tmpdir
from metis_flow.sites.doctor.machine import about_proxy, about_scheduler
from metis_flow.sites.doctor.workers import about_workers


def examine(site: SiteConfig, endpoint: EndpointConfig | None, runs_dir: Path, *, in_job: bool) -> Iterator[Finding]:
    """Look at everything that a run on a site needs.

    Args:
        endpoint: who answers its calls; None for a run without chat steps.
        runs_dir: where its record would be.
        in_job: start the site's workers too; from a login node that sends a job.
    """
    yield from about_python()
    yield about_tmpdir()
    yield from about_runs(site, runs_dir)
    yield from about_scheduler(site)
    yield from about_proxy(site)
    if endpoint is not None:
        yield from about_login(endpoint, site)
        yield from about_reach(endpoint)
    if in_job:
        yield from about_workers(site, runs_dir)
