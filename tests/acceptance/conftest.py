"""What the tests of this folder share; helpers stand in acceptance_kit.py, and bigger forms in benchmarks/."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from acceptance_kit import Desk, Here

from metis_flow.inference import tokens


@pytest.fixture(autouse=True)
def no_secrets_from_other_tests() -> Iterator[None]:
    """A variable that an earlier test's run took is not known to the next one."""
    tokens._taken.clear()
    yield
    tokens._taken.clear()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A user's folder and home, where nobody has logged in yet."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    found = Desk(tmp_path, home)
    yield found
    found.close()


@pytest.fixture
def here(desk: Desk, capfd: pytest.CaptureFixture[str]) -> Here:
    """The command line in this process, at the desk."""
    return Here(capfd)
