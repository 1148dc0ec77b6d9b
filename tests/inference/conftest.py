"""What the tests of this folder share; helpers stand in inference_kit.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metis_flow.inference import tokens

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def no_secrets_from_other_tests() -> Iterator[None]:
    tokens._taken.clear()
    yield
    tokens._taken.clear()
