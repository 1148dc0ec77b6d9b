"""What the tests of this folder share; helpers stand in browser_kit.py and report_kit.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from browser_kit import Browser, open_browser
from report_kit import Study, run_hostile, run_survey

from metis_flow.record.folder import RunFolder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Headless Chromium; the test is skipped where it is not installed, but not in CI."""
    with open_browser(tmp_path_factory) as opened:
        yield opened


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The record of a run in which some instances failed, were skipped or asked twice; it made a picture."""
    return run_survey(tmp_path_factory.mktemp("survey"))


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    """A folder with an endpoint whose answers the test decides."""
    with Study.at(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The record of a run in which keys, prompts, answers, outputs and errors try to do harm."""
    return run_hostile(tmp_path_factory.mktemp("hostile"))
