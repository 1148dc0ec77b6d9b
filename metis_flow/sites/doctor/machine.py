"""What a site asks for, and whether the batch system around this process has it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator, Mapping

from metis_flow.errors import ConfigError
from metis_flow.sites.allocation import allocated_hosts
from metis_flow.sites.config import SiteConfig
from metis_flow.sites.doctor.finding import Finding, fail, ok, warn
from metis_flow.sites.executors import HtexConfig, MpiConfig
from metis_flow.sites.schedulers import COMMANDS, NAMES
from metis_flow.sites.walltime import remaining_walltime
from metis_flow.units import format_duration

PROXIES = ("http_proxy", "https_proxy")
LOCAL_NAMES = ("localhost", "127.0.0.1")


def about_scheduler(site: SiteConfig) -> Iterator[Finding]:
    """Commands, allocation, and what a job has to name. Nothing for a site without a scheduler."""
    if site.scheduler is None:
        return
    name = NAMES[site.scheduler]
    missing = [command for command in COMMANDS[site.scheduler] if shutil.which(command) is None]
    if missing:
        yield fail("scheduler", f"{', '.join(missing)} of {name} not on PATH", f"log in to a machine that has {name}")
    else:
        yield ok("scheduler", f"{name}: {', '.join(COMMANDS[site.scheduler])} are on PATH")
    inside = yield from _about_allocation(site)
    if not inside:
        yield from _about_asking(site)
    yield from _about_launchers(site, inside=inside)


def _about_allocation(site: SiteConfig) -> Generator[Finding, None, bool]:
    """Hosts and time left of the allocation; whether there is one."""
    assert site.scheduler is not None
    try:
        hosts = allocated_hosts(site.scheduler)
    except ConfigError as error:
        yield fail("allocation", error.summary, error.hint or "ask for another allocation")
        return True
    if hosts is None:
        if sends_jobs(site):
            yield ok("allocation", "none here: blocks are asked for when steps need nodes")
        else:
            login = f"--site {site.login_site} on a login node, or " if site.login_site else ""
            mend = f"use {login}metis-flow submit FILE --site {site.name}"
            yield warn("allocation", "none here, and the site is for the inside of one", mend)
        return False
    nodes = "1 node" if len(hosts) == 1 else f"{len(hosts)} nodes"
    yield ok("allocation", f"{nodes}: {', '.join(hosts[:4])}{', …' if len(hosts) > 4 else ''}")
    walltime = remaining_walltime()
    if walltime is not None and walltime.remaining is not None:
        yield ok("walltime", f"{format_duration(walltime.remaining)} left of job {walltime.job}")
    elif walltime is not None:
        yield warn("walltime", f"unknown: {walltime.problem}", "end runs in time yourself: --time-limit T")
    return True


def sends_jobs(site: SiteConfig) -> bool:
    """Whether the site's own workers are asked for from here."""
    work = site.work[1]
    return isinstance(work, HtexConfig | MpiConfig) and work.provider != "local"


def _about_asking(site: SiteConfig) -> Iterator[Finding]:
    """Account, queue and file systems, which a job has to name."""
    submitting = sends_jobs(site)
    for field, who in (("account", "who pays"), ("queue", "which queue")):
        value = getattr(site, field)
        if value is not None:
            yield ok(field, value)
            continue
        mend = f"say {who}: --set {field}=NAME" if submitting else f"say {who}: metis-flow submit … --{field} NAME"
        yield warn(field, "none given: the scheduler's own choice, if it has one", mend)
    if site.scheduler != "pbs":
        return
    if site.filesystems is None:
        yield warn("filesystems", "none given; ALCF's PBS refuses such jobs", "say --set filesystems=home:eagle")
    else:
        yield ok("filesystems", site.filesystems)


def _about_launchers(site: SiteConfig, *, inside: bool) -> Iterator[Finding]:
    """The programs that start managers and ranks; on a login node they are often missing, and need not be there."""
    launchers = {
        config.launcher
        for config in site.executors.values()
        if isinstance(config, HtexConfig | MpiConfig) and config.launcher not in ("simple", "single")
    }
    for launcher in sorted(launchers):
        path = shutil.which(launcher)
        if path is not None:
            yield ok("launcher", path)
        elif inside:
            yield fail("launcher", f"{launcher} is not on PATH", "load the module that has it before you start")


def about_proxy(site: SiteConfig, environ: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """How the driver reaches the internet from a compute node."""
    if site.scheduler is None:
        return
    environ = os.environ if environ is None else environ
    found = {name: environ.get(name) or environ.get(name.upper()) or site.environment.get(name) for name in PROXIES}
    missing = [name for name, value in found.items() if not value]
    inside = environ.get("PBS_JOBID") or environ.get("SLURM_JOB_ID")
    if missing:
        what = f"{' and '.join(missing)} not set, here or in the site"
        mend = "if compute nodes have no internet of their own: --set environment.https_proxy=http://HOST:PORT"
        yield warn("proxy", what, mend) if inside else ok("proxy", f"{what}; not needed where nodes reach the internet")
        return
    skipped = environ.get("no_proxy") or environ.get("NO_PROXY") or site.environment.get("no_proxy") or ""
    names = [name.strip() for name in skipped.split(",")]
    if "*" not in names and not any(name in names for name in LOCAL_NAMES):
        mend = f"type: export no_proxy={','.join([*filter(None, names), *LOCAL_NAMES])}"
        yield warn("proxy", "no_proxy leaves out this machine, so that calls to a local endpoint take the proxy", mend)
    else:
        yield ok("proxy", f"{found['https_proxy']}")
