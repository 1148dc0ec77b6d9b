"""The guide to the gateway: its example runs, and what it names is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from metis_flow.testing import Gateway
from metis_flow.testing.gateway.control import Control
from metis_flow.testing.gateway.faults import FAULTS, SPELLS, check_fault

GUIDE = (Path(__file__).parents[2] / "docs" / "testing-gateway.md").read_text()


def test_the_example_runs() -> None:
    code = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert code is not None
    done = subprocess.run([sys.executable, "-W", "error", "-c", code[1]], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_it_names_is_there() -> None:
    calls = re.findall(r"`(?:gateway\.)?([a-z_]+)\(", GUIDE)
    assert len(calls) > 10
    assert [name for name in calls if not hasattr(Gateway, name)] == []
    assert all(fault in GUIDE for fault in SPELLS)
    for name in re.findall(r'(?:rate=\{|at=\{3: |fail_next\()"(\w+)"', GUIDE):
        check_fault(name)
    assert "fail_next" in Control.VERBS


def test_every_fault_is_described() -> None:
    assert all(len(text) > 10 for text in FAULTS.values())
