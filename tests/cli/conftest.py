"""What the tests of this folder share; helpers stand in cli_kit.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cli_kit import Cli, Here


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command line in processes of its own, in an empty folder."""
    return Cli(tmp_path)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Here:
    """The command line in this process, in an empty folder; for commands that only read."""
    monkeypatch.chdir(tmp_path)
    return Here(capfd)


@pytest.fixture(autouse=True)
def no_signs_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of whoever runs the tests decides how things look."""
    for name in ("NO_COLOR", "CI", "FORCE_COLOR", "COLUMNS", "LINES", "METIS_FLOW_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
