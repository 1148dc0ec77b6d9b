"""What can be seen of this machine: Python, Parsl, temporary files, and where the runs are kept."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from metis_flow.errors import ConfigError
from metis_flow.record.lockfile import package_versions
from metis_flow.sites.commands import helper
from metis_flow.sites.config import SiteConfig
from metis_flow.sites.doctor.finding import Finding, fail, ok, warn
from metis_flow.units import format_size

PARSL_PROGRAMS = ("interchange.py", "process_worker_pool.py")
SOCKET_PATH = 107
"""Characters that the path of a Unix socket may have, on Linux."""
SOCKET_NAME = len("/pymp-xxxxxxxx/listener-xxxxxxxx")
"""What Python's multiprocessing adds to TMPDIR for a socket of its own."""
LITTLE_SPACE = 2 * 10**9
NOT_SHARED = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "ramfs"}
"""File systems of one machine; all others may be shared."""


def about_python() -> Iterator[Finding]:
    """The Python that drives, and Parsl's programs beside it."""
    versions = ", ".join(f"{name} {version}" for name, version in package_versions().items())
    yield ok("python", f"{platform.python_version()} in {sys.prefix}; {versions}")
    try:
        found = [helper(name) for name in PARSL_PROGRAMS]
    except ConfigError as error:
        yield fail("parsl programs", error.summary, error.hint or "install parsl again")
    else:
        yield ok("parsl programs", f"in {Path(found[0]).parent}")


def about_tmpdir() -> Finding:
    """Whether sockets find room in the folder of temporary files."""
    folder = tempfile.gettempdir()
    most = SOCKET_PATH - SOCKET_NAME
    if len(folder) > most:
        what = (
            f"{folder} is {len(folder)} characters long, and sockets in it need at most {most} (AF_UNIX path too long)"
        )
        return fail("TMPDIR", what, "type: export TMPDIR=/tmp")
    if not os.access(folder, os.W_OK):
        return fail("TMPDIR", f"{folder} cannot be written", "type: export TMPDIR=/tmp")
    return ok("TMPDIR", folder)


def about_runs(site: SiteConfig, runs_dir: Path) -> Iterator[Finding]:
    """Whether the folder of the runs can be written, is seen by other nodes, and has room."""
    runs_dir = runs_dir.absolute()
    there = next(path for path in (runs_dir, *runs_dir.parents) if path.exists())
    elsewhere = "choose a folder of a project file system: --runs-dir DIR"
    trial = there / f".metis-flow-{uuid.uuid4().hex}"
    try:
        trial.write_text("trial")
        trial.unlink()
    except OSError as error:
        yield fail("runs folder", f"{runs_dir} cannot be written: {error.strerror}", elsewhere)
        return
    kind = file_system(there)
    if site.scheduler is not None and kind in NOT_SHARED:
        what = f"{runs_dir} is on a file system of this machine alone ({kind}), and other nodes do not see it"
        yield warn("runs folder", what, elsewhere)
    else:
        yield ok("runs folder", f"{runs_dir} ({kind or 'unknown file system'})")
    if site.scheduler is not None and there.resolve().is_relative_to(Path.home().resolve()):
        yield warn("home quota", f"{runs_dir} is in your home, which often has a small quota", elsewhere)
    free = shutil.disk_usage(there).free
    if free < LITTLE_SPACE:
        yield warn("free space", f"{format_size(free)} are left where the runs are", elsewhere)


def file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The kind of file system that a path is on; None where the system does not tell."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return None
    real = path.resolve()
    # of two mounts at one place the later one is seen; the system writes a blank as \040
    places = [(Path(words[1].replace("\\040", " ")), words[2]) for words in lines if len(words) > 2]
    fitting = [
        (len(place.parts), number, kind) for number, (place, kind) in enumerate(places) if real.is_relative_to(place)
    ]
    return max(fitting)[2] if fitting else None
