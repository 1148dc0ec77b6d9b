"""Whether an endpoint can be used: who is logged in, and whether it is in reach."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from metis_flow.errors import LoginRequired, MetisFlowError
from metis_flow.inference.endpoints import EndpointConfig
from metis_flow.inference.refusals import LOGIN
from metis_flow.sites.config import SiteConfig
from metis_flow.sites.doctor.finding import Finding, fail, ok, warn
from metis_flow.units import format_duration

CONNECT_SECONDS = 5.0
PORTS = {"https": 443, "http": 80}


def about_login(endpoint: EndpointConfig, site: SiteConfig) -> Iterator[Finding]:
    """Whether there is a token, and how long it lasts."""
    auth = endpoint.auth
    if auth.kind == "globus":
        yield _about_globus(endpoint, site)
    elif auth.kind == "env" and auth.variable is not None:
        if not os.environ.get(auth.variable):
            what = f"the endpoint '{endpoint.name}' takes it from {auth.variable}, which is not set"
            yield fail("login", what, f"type: export {auth.variable}=…")
        elif site.scheduler == "pbs":
            what = f"{auth.variable} is set here; PBS jobs do not get it"
            yield warn(
                "login", what, "set it in your login files, or have the endpoint read a file: auth: {kind: file}"
            )
        else:
            yield ok("login", f"{auth.variable} is set")


def _about_globus(endpoint: EndpointConfig, site: SiteConfig) -> Finding:
    from metis_flow.inference import login as logins

    try:
        found = logins.status()
    except LoginRequired as error:
        return fail("login", error.summary, error.hint or f"type: {LOGIN}")
    if not found.logged_in:
        return fail(
            "login", f"the endpoint '{endpoint.name}' needs one: nobody is logged in", "type: metis-flow auth login"
        )
    left = f"the token ends in {format_duration(found.seconds_left())}"
    if not found.renewable:
        return warn("login", f"{left} and cannot be renewed", f"type: {LOGIN}")
    if site.walltime is not None and not found.outlasts(site.walltime):
        return warn("login", f"{left}, before a job of {format_duration(site.walltime)} would", f"type: {LOGIN}")
    return ok("login", f"{left}, and is renewed by itself")


def about_reach(endpoint: EndpointConfig) -> Iterator[Finding]:
    """Whether a connection to the endpoint, or to the proxy on the way, can be opened. No call is made."""
    if endpoint.kind != "openai":
        return
    try:
        address = urlsplit(endpoint.address)
    except MetisFlowError as error:
        yield fail("endpoint", error.summary, error.hint or "name another one: --endpoint E")
        return
    host = address.hostname or ""
    proxy = None if proxy_bypass(host) else getproxies().get(address.scheme)
    target = urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else address
    where, port = target.hostname or "", target.port or PORTS.get(target.scheme, 80)
    way = f" by the proxy {where}:{port}" if proxy else ""
    try:
        with socket.create_connection((where, port), timeout=CONNECT_SECONDS):
            yield ok("endpoint", f"{endpoint.name}: {host} can be reached{way}")
    except OSError as error:
        problem = error.strerror or str(error)
        mend = (
            "see whether the proxy is right"
            if proxy
            else "see whether this machine needs a proxy: export https_proxy=…"
        )
        yield fail("endpoint", f"{endpoint.name}: {where}:{port} cannot be reached: {problem}", mend)
