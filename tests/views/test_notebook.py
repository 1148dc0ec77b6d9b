"""What a notebook shows of runs and workflows."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

from metis_flow.record.folder import RunFolder
from metis_flow.views.notebook import run_html, workflow_html
from metis_flow.workflow.load import load_workflow


class Tags(HTMLParser):
    """The tags of a page, and its texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


ALLOWED = {"div", "p", "b", "br", "small", "img", "table", "thead", "tbody", "tr", "th", "td", "code"}


def picture(html: str) -> str:
    match = re.search(r"data:image/svg\+xml;base64,([^\"]+)", html)
    assert match is not None
    return base64.b64decode(match[1]).decode()


def test_a_run(survey: RunFolder) -> None:
    html = run_html(survey)
    page = Tags(html)
    assert set(page.tags) <= ALLOWED
    assert any("It ran to its end, but 2 of 10 instances failed" in text for text in page.texts)
    cells = "|".join(page.texts)
    assert "extract|chat|done|4|1|7|" in cells
    assert "found|4" in cells
    assert 'class="g-done"' in picture(html)
    assert picture(html).startswith("<svg ")


def test_a_workflow(survey: RunFolder) -> None:
    html = workflow_html(load_workflow(survey.path.parent.parent / "survey.yaml"))
    page = Tags(html)
    assert set(page.tags) <= ALLOWED
    assert "Band gaps that a model extracts" in "".join(page.texts)
    assert "materials|object|" in "|".join(page.texts)
    assert 'class="g-plan"' in picture(html)


def test_hostile_texts(hostile: RunFolder) -> None:
    assert set(Tags(run_html(hostile)).tags) <= ALLOWED
    assert set(Tags(workflow_html(load_workflow(hostile.workflow_file))).tags) <= ALLOWED
