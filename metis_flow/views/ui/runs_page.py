"""The list of runs as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metis_flow.views.report.page import policy, script_text, style_text, templates
from metis_flow.views.safe_text import safe

if TYPE_CHECKING:
    from metis_flow.views.ui.runs import RunLine


def runs_html(lines: Sequence[RunLine], folder: Path) -> str:
    """The page."""
    script = script_text("runs.js")
    return (
        templates()
        .get_template("runs.html")
        .render(
            rows=runs_rows(lines),
            folder=safe(folder.absolute()),
            style=style_text(),
            script=script,
            policy=policy(script, connect="'self'"),
        )
    )


def runs_rows(lines: Sequence[RunLine]) -> str:
    """The rows of its table alone, which the page asks for again and again."""
    return templates().get_template("runs_rows.html").render(lines=lines)
