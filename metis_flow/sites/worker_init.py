"""The shell lines that give a worker the driver's own environment.

A PBS job does not get the environment of who submitted it, and a program may run from an environment that nobody
activated: so the lines name everything.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

PROXIES = ("http_proxy", "https_proxy", "no_proxy")


def default_worker_init(environ: Mapping[str, str] | None = None, prefix: str = sys.prefix) -> str:
    """Lines that enter the environment of this process again: modules, Python, proxies, a short ``TMPDIR``.

    Args:
        environ: what to go by, instead of this process's environment.
        prefix: the Python environment to enter.
    """
    return "\n".join(_lines(os.environ if environ is None else environ, Path(prefix)))


def _lines(environ: Mapping[str, str], prefix: Path) -> Iterator[str]:
    yield "export TMPDIR=/tmp"  # multiprocessing's sockets must have short paths
    modules = [module for module in environ.get("LOADEDMODULES", "").split(":") if module]
    if modules:
        yield "type module >/dev/null 2>&1 || source /etc/profile"
        if environ.get("MODULEPATH"):
            yield _export("MODULEPATH", environ["MODULEPATH"])
        yield f"module load {' '.join(map(shlex.quote, modules))}"
    if (prefix / "bin" / "activate").is_file() and (prefix / "pyvenv.cfg").is_file():
        yield f"source {shlex.quote(str(prefix / 'bin' / 'activate'))}"
    else:
        yield f'export PATH={shlex.quote(str(prefix / "bin"))}:"$PATH"'
    if environ.get("PYTHONPATH"):
        yield _export("PYTHONPATH", environ["PYTHONPATH"])
    for name in PROXIES:
        value = environ.get(name) or environ.get(name.upper())
        if value and not urlsplit(value).password:  # what is written here is kept in a file
            yield _export(name, value)


def environment_lines(environment: Mapping[str, str]) -> Iterator[str]:
    """Lines that set a site's variables where they are not set."""
    for name, value in environment.items():
        yield f'[ -n "${{{name}+set}}" ] || {_export(name, value)}'


def _export(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"
