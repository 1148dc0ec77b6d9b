"""A real Slurm, started once; stand-ins for PBS stand in pbs_kit.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pbs_kit import Pbs
from runs_kit import Desk
from slurm_kit import INSTALL, Slurm, missing_programs

from metis_flow.testing import Gateway


@pytest.fixture(scope="session")
def cluster() -> Iterator[Slurm]:
    """A Slurm of two nodes, for all tests that need one."""
    missing = missing_programs()
    if missing and not os.environ.get("CI"):
        pytest.skip(f"{missing[0]} is not installed; install it with: {INSTALL}")
    slurm = Slurm()
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


@pytest.fixture
def slurm(cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """The Slurm, as this test's own: the environment names it, and its jobs end with the test."""
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    yield cluster
    cluster.clear()


@pytest.fixture
def pbs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pbs]:
    """A cluster with PBS of this test's own; its commands are on PATH."""
    cluster = Pbs()
    try:
        cluster.set_up()
        monkeypatch.setenv("PATH", f"{cluster.bin}:{os.environ['PATH']}")
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A user's folder and home."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = Desk(tmp_path)
    yield found
    found.close()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A gateway without rates that repeats what it is asked."""
    with Gateway(limits=None) as found:
        yield found
