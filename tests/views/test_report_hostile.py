"""What models, keys and files say stays text: nothing runs, nothing is asked for, nothing turns the page around."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from browser_kit import Browser
from report_kit import HOSTILE

from metis_flow.record.folder import RunFolder
from metis_flow.views.report.page import report_html

NOT_SHOWN = re.compile("[\0\x07\x1b\u202e\u2066]")


@pytest.fixture(scope="module")
def page(hostile: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "report.html"
    path.write_text(report_html(hostile), encoding="utf-8")
    return path


def test_nothing_of_it_is_in_the_file_as_it_was_said(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script>") == 3 + len(re.findall(r'id="chunk-\d+"', text))
    assert "<img src=x" not in text
    assert "<svg onload" not in text
    assert 'href="javascript' not in text
    assert NOT_SHOWN.search(text) is None


def test_nothing_of_it_happens(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.shot("hostile-1280-light")
    browser.js("dispatchEvent(new Event('beforeprint'))")  # for printing, the table shows all rows
    links = browser.js("return [...document.querySelectorAll('#table a')].map((x) => x.getAttribute('href'))")
    assert len(links) == 3 * len(HOSTILE)
    for link in links:
        browser.js("location.hash = arguments[0]", link)
        browser.wait(lambda: browser.texts("#detail-body .facts"), "the instance is shown")
        assert NOT_SHOWN.search("".join(browser.texts("body"))) is None
        browser.js("document.getElementById('detail').close()")
        browser.wait(lambda: not browser.js("return location.hash.startsWith('#i=')"), "it is closed")
        browser.js("document.getElementById('detail-body').replaceChildren()")
    assert browser.js("return window.harmed") is None
    assert browser.js("return document.querySelectorAll('script:not(head script)').length") == 3 + len(
        browser.js("return [...document.querySelectorAll('script[id^=chunk]')].map((x) => x.id)")
    )
    assert browser.js("return document.querySelectorAll('a[href^=javascript], [onerror], [onload]').length") == 0
    assert browser.problems() == []
    assert browser.requests() == [page.as_uri()]


def test_even_a_script_that_got_into_the_page_would_not_run(browser: Browser, page: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.html"
    text = page.read_text(encoding="utf-8")
    path.write_text(text.replace("<main", "<script>window.harmed = 1</script><img src=x onerror='harmed = 1'><main", 1))
    browser.open(path)
    assert browser.js("return window.harmed") is None
    assert any("Content Security Policy" in problem for problem in browser.problems())


@pytest.mark.parametrize("name", ["script", "end", "svg", "template", "formula"])
def test_an_answer_is_shown_as_it_was_said(browser: Browser, page: Path, name: str) -> None:
    browser.open(page)
    browser.click("#full")
    browser.wait(lambda: "33 instances" in browser.texts("#matching"), "all texts are read")
    place = list(HOSTILE).index(name) + 1
    browser.click(f"#table tr[aria-rowindex='{place + 1}'] td:nth-child(2)")
    browser.wait(lambda: browser.texts("#detail-body .answer pre"), "the instance is shown")
    assert browser.texts("#detail-body .answer pre") == [HOSTILE[name]]


def test_a_long_answer_is_there_to_its_end(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.type_into("#search", "say@long")
    browser.click("#table tr[data-row] td:nth-child(2)")
    (text,) = browser.wait(lambda: browser.texts("#detail-body .answer pre"), "the instance is shown")
    assert text == HOSTILE["long"][:50_000]
    assert browser.texts("#detail-body .answer .more") == ["Show all 1,080,000 characters"]
    browser.click("#detail-body .answer .more")
    assert browser.texts("#detail-body .answer pre") == [HOSTILE["long"]]


def test_a_spreadsheet_takes_no_cell_for_a_formula(browser: Browser, page: Path, tmp_path: Path) -> None:
    browser.open(page)
    place = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", place)
    browser.click("#csv")
    file = browser.wait(lambda: next(iter(tmp_path.glob("*.csv")), None), "the table is saved")
    lines = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
    assert len(lines) == 1 + 3 * len(HOSTILE)
    cells = [cell for line in lines for cell in line]
    assert [cell for cell in cells if re.match(r"[=+@\t]|-(?!\d+$)", cell)] == []
    assert "'" + HOSTILE["formula"] in cells
    assert browser.problems() == []
