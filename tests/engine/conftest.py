"""What the tests of this folder share; helpers stand in engine_kit.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from engine_kit import Answers, Bench, echo

from metis_flow.testing import Gateway


@pytest.fixture(scope="module")
def answers() -> Answers:
    """The rule of the module's gateway."""
    return Answers()


@pytest.fixture(scope="module")
def module_gateway(answers: Answers) -> Iterator[Gateway]:
    """A gateway without rates."""
    with Gateway(answers, limits=None) as gateway:
        yield gateway


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A folder to run workflows in that ask no model."""
    return Bench(tmp_path)


@pytest.fixture
def chat_bench(tmp_path: Path, module_gateway: Gateway, answers: Answers) -> Bench:
    """A folder to run workflows in; the endpoint `local` echoes until the test says otherwise."""
    module_gateway.reset()
    module_gateway.write_endpoint(tmp_path, "local", limits={"timeout": "120s"})
    answers.rule = echo
    return Bench(tmp_path, module_gateway, answers)
