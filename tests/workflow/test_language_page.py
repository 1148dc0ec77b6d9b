"""docs/language.md is what docs/make_language.py writes, and has every key."""

from __future__ import annotations

import runpy
from pathlib import Path

from metis_flow.workflow.models import WorkflowFile
from metis_flow.workflow.step_models import Chat, Matrix, Step

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_of_the_language_is_up_to_date() -> None:
    page = runpy.run_path(str(DOCS / "make_language.py"))["page"]()
    assert (DOCS / "language.md").read_text(encoding="utf-8") == page, "run: python docs/make_language.py"


def test_it_has_every_key() -> None:
    written = (DOCS / "language.md").read_text(encoding="utf-8")
    for model in (WorkflowFile, Step, Chat, Matrix):
        for name, field in model.model_fields.items():
            assert f"\n| `{field.alias or name}` | " in written
