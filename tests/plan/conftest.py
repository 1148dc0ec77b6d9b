"""What the tests of the plan share: a plan from a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import WorkflowInvalid
from metis_flow.plan.plan import Plan, load_plan

MakePlan = Callable[..., Plan]


@pytest.fixture
def make(tmp_path: Path) -> MakePlan:
    """Plans a text; its ``steps:`` and what comes after, without the head."""

    def make(
        text: str,
        given: Mapping[str, Any] | None = None,
        *,
        files: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> Plan:
        for name, content in (files or {}).items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        path = tmp_path / "w.yaml"
        path.write_text(f"version: 1\nname: w\n{text}", encoding="utf-8")
        return load_plan(path, given, limit=limit)

    return make


@pytest.fixture
def refused(make: MakePlan) -> Callable[..., list[str]]:
    """The mistakes of a text as ``line:column summary [hint]``."""

    def refused(text: str, given: Mapping[str, Any] | None = None, **options: Any) -> list[str]:
        with pytest.raises(WorkflowInvalid) as caught:
            make(text, given, **options)
        return [
            f"{':'.join(str(problem.where).rsplit(':', 2)[1:])} {problem.summary}"
            + (f" [{problem.hint}]" if problem.hint else "")
            for problem in caught.value.problems
        ]

    return refused
