"""Shared by the tests of the task library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from metis_flow.tasks import all_tasks, registry


@pytest.fixture(autouse=True)
def _own_register(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    all_tasks()
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))


@pytest.fixture
def write() -> Callable[..., None]:
    """Writes modules into a folder: ``write(folder, name=text)``, with ``__`` in the name for a slash."""

    def write(folder: Path, **modules: str) -> None:
        for name, text in modules.items():
            path = folder / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))

    return write
