"""Who has never seen the workflow finds which item failed, why, and what the model said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from browser_kit import Browser
from report_kit import Study

from metis_flow.testing import Reply
from metis_flow.views.report.page import report_html

WORKFLOW = """
version: 1
name: alloys
model: {name: gpt-oss-120b, temperature: 0}
steps:
  extract:
    foreach: ${{ range(30) }}
    key: 10.1016/j.msea.2019.${{ 138000 + item }}
    chat: Which yield strength has alloy ${{ item }}?
    output: {strength: {type: number, exclusiveMinimum: 0}}
    repair: 2
    on_error: continue
  broken: {foreach: [5, 6], run: "echo no licence >&2; exit 3", on_error: continue}
  count: {run: "echo ${#}", needs: [extract]}
"""
ODD = "The abstract gives no number, and I would rather not invent one."


def answer(body: Mapping[str, Any]) -> Reply:
    """Right ones, but for alloy 17: never a number above zero."""
    messages = body["messages"]
    if "alloy 17?" not in next(message["content"] for message in messages if message["role"] == "user"):
        return Reply('{"strength": 500}')
    tries = sum(message["role"] == "assistant" for message in messages)
    return Reply(['{"strength": "high"}', '{"strength": 0}', ODD][tries])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run in which one of thirty papers has an odd answer."""
    folder = tmp_path_factory.mktemp("finding")
    with Study.at(folder) as study:
        study.answer = answer
        run = study.run(WORKFLOW)
    path = folder / "report.html"
    path.write_text(report_html(run.folder), encoding="utf-8")
    return path


def test_the_first_screen_says_which_item_failed_and_what_was_said(browser: Browser, page: Path) -> None:
    browser.open(page)
    find = "return [...document.querySelectorAll('.failure')].find((x) => x.textContent.includes('not JSON'))"
    article = browser.js(f"{find}.innerText")
    assert "item 10.1016/j.msea.2019.138017 of the step extract" in article
    assert "WHAT THE MODEL SAID AT LAST, IN ANSWER 3 OF 3" in article.upper()
    assert article.count(ODD) == 1  # the error's own detail would only say it again
    assert browser.texts(".who")[0] == "2 of broken, item 0 among them"
    assert "no licence" in browser.texts(".failure")[0]
    assert not browser.js("return document.querySelector('.commands').open")
    browser.click(".headline a")
    top = "return document.getElementById('failures').getBoundingClientRect().top"
    browser.wait(lambda: -5 <= browser.js(top) < 80, "the failures are in sight")


def test_an_item_is_found_by_its_key_and_told_from_its_neighbours(browser: Browser, page: Path) -> None:
    browser.open(page)
    names = "#table tbody tr[data-row] td:first-child"
    browser.type_into("#search", "10.1016/j.msea.2019.138017")
    assert browser.texts(names) == ["extract@10.1016/j.msea.2019.138017"]
    browser.type_into("#search", "")
    browser.type_into("#step", "extract")
    tails = "[...document.querySelectorAll('#table tbody .tail')]"
    seen = browser.js(f"return {tails}.map((x) => [x.textContent, x.scrollWidth - x.clientWidth])")
    assert len(seen) == 30
    assert len({text for text, _ in seen}) == 30
    assert {more for _, more in seen} == {0}  # none of it is cut


def test_a_step_with_failures_is_marked_and_leads_to_them(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.texts("#step-extract .status") == ["done, with failures"]
    assert browser.texts("#step-count .status") == ["done"]
    browser.click("#step-extract a.count")
    browser.wait(lambda: browser.texts("#matching") == ["1 of 33 instances"], "only what failed is shown")


def test_who_said_what_in_a_repaired_answer(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.type_into("#search", "138017")
    browser.click("#table tbody tr[data-row] td:nth-child(2)")
    browser.wait(lambda: browser.texts("#detail-body .message"), "the instance is shown")
    labels = browser.texts("#detail-body .message > .label")
    assert [label.split(",")[0] for label in labels] == ["user", "whole", *["user", "whole"] * 2]
    assert labels[2] == labels[4] == "user, asked again by metis-flow"
    assert "attempt" not in browser.texts("#detail-body dt")
