"""The report in a browser: it opens without a complaint, asks nobody, and does what a reader clicks."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_kit import Browser

from metis_flow.record.folder import RunFolder
from metis_flow.views.report.page import report_html

LOOKS = [(1280, False), (1280, True), (390, False), (390, True)]


@pytest.fixture(scope="module")
def page(survey: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the survey, as a file."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_html(survey), encoding="utf-8")
    return path


def rows(browser: Browser) -> list[str]:
    return browser.texts("#table tbody tr[data-row] td:first-child")


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_it_opens_without_a_complaint_and_asks_nobody(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width=width, dark=dark)
    browser.shot(f"report-{width}-{'dark' if dark else 'light'}")
    assert browser.problems() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.js("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_it_is_accessible(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width=width, dark=dark)
    browser.js("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    assert browser.violations() == []


@pytest.mark.parametrize("dark", [False, True])
def test_an_instance_is_accessible(browser: Browser, page: Path, dark: bool) -> None:
    browser.open(f"{page.as_uri()}#i=extract%40InSb", dark=dark)
    browser.wait(lambda: browser.texts("#detail-body .message"), "the instance is shown")
    browser.js("document.querySelectorAll('#detail details').forEach((part) => (part.open = true))")
    browser.wait(lambda: browser.texts("#detail-body del"), "the difference is shown")
    browser.shot(f"instance-{'dark' if dark else 'light'}")
    assert browser.violations() == []


def test_a_fault_of_accessibility_would_be_seen(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.js("document.querySelector('.headline').style.color = 'silver'")
    browser.js("document.querySelector('img').removeAttribute('alt')")
    assert {found.partition(":")[0] for found in browser.violations()} == {"color-contrast", "image-alt"}


def test_the_outcome_comes_first_and_the_failures_next(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.texts("h1")[0].split() == ["band_gaps", "✓", "done,", "with", "failures"]
    outcome = "It ran to its end, but 2 of 10 instances failed (1 of extract, 1 of relax)."
    assert browser.texts(".headline") == [f"{outcome} Which, and why"]
    assert browser.texts("h2")[0] == "What failed"
    assert "I cannot say: unobtainium does not exist." in browser.texts(".said")
    assert browser.texts("#failures li") == ["relax: 1 skipped, because of extract"]


def test_the_table_searches_filters_and_sorts(browser: Browser, page: Path) -> None:
    browser.open(page)
    everything = rows(browser)
    assert everything[:2] == ["extract@silicon", "extract@GaN"]
    assert len(everything) == 12
    browser.type_into("#search", "gan relax")
    assert rows(browser) == ["relax@GaN"]
    assert browser.texts("#matching") == ["1 of 12 instances"]
    browser.type_into("#search", "")
    browser.type_into("#status", "failed")
    assert rows(browser) == ["extract@unobtainium", "relax@GaN"]
    browser.type_into("#step", "relax")
    assert rows(browser) == ["relax@GaN"]
    browser.click("#reset")
    browser.click("#table thead th:first-child button")
    assert rows(browser) == sorted(everything)
    assert browser.js("return document.querySelector('#table th').ariaSort") == "ascending"
    browser.click("#table thead th:first-child button")
    assert rows(browser) == sorted(everything, reverse=True)
    browser.click("#table thead th:first-child button")
    assert rows(browser) == everything


def test_prompts_and_answers_are_searched_where_that_is_asked(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.type_into("#search", "cannot say")
    assert rows(browser) == []
    browser.click("#full")
    browser.wait(lambda: rows(browser) == ["extract@unobtainium"], "the answer is found")


def test_a_click_on_a_step_of_the_graph_leads_to_its_instances(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.texts(".graph.right .g-failed") == []
    browser.click(".graph.right a[data-step=relax]")
    browser.wait(lambda: len(rows(browser)) == 5, "the step is chosen")
    assert {row.split("@")[0] for row in rows(browser)} == {"relax"}
    browser.wait(
        lambda: browser.js("return document.getElementById('instances').getBoundingClientRect().top < 300"),
        "it is in sight",
    )


def test_an_instance_shows_prompt_answers_and_what_changed(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.type_into("#search", "insb")
    browser.click("#table tbody tr[data-row] td:nth-child(2)")
    browser.wait(lambda: browser.texts("#detail-body .message"), "the instance is shown")
    assert browser.texts("#detail-title") == ["extract@InSb"]
    messages = browser.texts("#detail-body .message pre")
    assert messages[:2] == ["You extract facts from abstracts.", "What is the band gap of InSb?"]
    assert '{"material": "InSb", "gap": "0.17 to 0.23"}' in messages
    assert "Not valid: at 'gap': '0.17 to 0.23' is not of type 'number'" in browser.texts("#detail-body .reason")
    browser.click("#detail-body .changes summary")
    browser.js("document.querySelector('#detail-body .changes').open = true")
    browser.wait(lambda: browser.texts("#detail-body del"), "the difference is shown")
    assert "".join(browser.texts("#detail-body del")) == '" to 0.23"'
    browser.press("ESCAPE")
    browser.wait(lambda: not browser.js("return document.getElementById('detail').open"), "it is closed")


def test_the_keyboard_goes_from_row_to_row_and_opens_one(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.js("document.querySelector('#table tbody a').focus()")
    browser.press("ARROW_DOWN", "ARROW_DOWN", "ARROW_UP", "ENTER")
    browser.wait(lambda: browser.texts("#detail-title") == ["extract@GaN"], "the second row is opened")
    browser.wait(lambda: browser.texts("#detail-body .message"), "the instance is shown")
    browser.click("#next")
    browser.wait(lambda: browser.texts("#detail-title") == ["extract@diamond"], "the next one is shown")


def test_the_timeline_tells_what_a_bar_is_and_opens_it(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.js("document.getElementById('timeline').scrollIntoView({behavior: 'instant'})")
    box = "const box = document.getElementById('timeline-canvas').getBoundingClientRect();"
    x, y = browser.js(f"{box} return [box.left + 30, box.top + 56]")
    for kind in ("mousemove", "click"):
        browser.js(
            "document.getElementById('timeline-canvas').dispatchEvent("
            "new MouseEvent(arguments[0], {clientX: arguments[1], clientY: arguments[2], bubbles: true}))",
            kind,
            x,
            y,
        )
    address, _, words = browser.texts("#tip")[0].partition(": ")
    assert address.startswith("extract@")
    assert words.startswith("waited ")
    browser.wait(lambda: browser.texts("#detail-title") == [address], "it is opened")


def test_pictures_tables_and_markdown_are_shown(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.js("return document.querySelector('img').naturalWidth") == 1
    assert browser.texts("#outputs .markdown strong") == ["known"]
    assert browser.texts("#outputs .markdown td") == ["GaN", "3.4"]
    assert browser.texts("#outputs table.plain thead th") == ["material", "gap"]


def test_it_prints(browser: Browser, page: Path) -> None:
    browser.open(page)
    data = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert len(data) > 10_000
    assert browser.problems() == []
