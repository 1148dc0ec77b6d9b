"""The local application in a browser: a run is followed while it goes on, and hostile texts stay texts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from browser_kit import Browser
from report_kit import HOSTILE, Study

from metis_flow.record.folder import RunFolder
from metis_flow.views.ui.runs import Runs
from metis_flow.views.ui.server import Guard, listen, make_app

TOKEN = "secret-part-of-the-address"
FOLLOWED = """
version: 1
name: followed
params: {names: {type: array, default: [a, b, c, d, e, f]}}
model: {name: gpt-oss-120b, temperature: 0}
limits: {concurrency: 2}
steps:
  ask:
    foreach: ${{ params.names }}
    key: ${{ item }}
    chat: Say ${{ item }}.
    on_error: continue
  gather:
    chat: ${{ lines(steps.ask.outputs) }}
outputs: {all: "${{ steps.gather.output }}"}
"""


@contextmanager
def served(runs_dir: Path) -> Iterator[str]:
    """The address of an application that shows these runs."""
    import uvicorn

    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(Guard(make_app(Runs(runs_dir)), TOKEN), log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/{TOKEN}/"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def addresses(browser: Browser) -> list[str]:
    return browser.texts("#table tbody tr[data-row] td:first-child")


def answer_is(browser: Browser, text: str) -> bool:
    return browser.texts("#detail-body .answer pre") == [text]


def test_a_run_is_followed_while_it_goes_on(browser: Browser, study: Study) -> None:
    go = {name: threading.Event() for name in "abcdef"}

    def answer(body: Mapping[str, Any]) -> str:
        text = body["messages"][-1]["content"]
        if text.startswith("Say "):
            assert go[text[4]].wait(60)
        return f"I said: {text}"

    study.answer = answer
    with ThreadPoolExecutor(1) as pool, served(study.folder / "runs") as address:
        try:
            run = pool.submit(study.run, FOLLOWED)
            go["a"].set()
            browser.wait(lambda: list((study.folder / "runs").glob("*/journal/*.jsonl")), "the run has begun")
            browser.open(address)
            browser.wait(lambda: browser.texts("#runs .status") == ["running"], "the list shows it")
            browser.shot("ui-runs-1280-light")
            page = browser.js("return document.querySelector('#runs a').href")
            browser.open(page)
            browser.wait(lambda: addresses(browser) == ["ask@a"], "the first answer is shown")
            browser.wait(lambda: browser.texts("#outcome .pill")[0].split() == ["…", "running"], "it is running")
            browser.shot("ui-live-1280-light")
            browser.look(width=390, dark=True)
            browser.shot("ui-live-390-dark")
            browser.type_into("#search", "ask@")
            go["b"].set()
            browser.wait(lambda: addresses(browser) == ["ask@a", "ask@b"], "the next answer comes by itself")
            browser.js("location.hash = '#i=ask%40b'")
            browser.wait(lambda: browser.texts("#detail-body .answer pre") == ["I said: Say b."], "it is opened")
            for event in go.values():
                event.set()
            browser.wait(lambda: "done" in browser.texts("#outcome .pill")[0], "the end is shown")
            assert browser.js("return document.getElementById('detail').open")
            assert browser.texts("#detail-title") == ["ask@b"]
            assert browser.js("return document.getElementById('search').value") == "ask@"
            assert len(addresses(browser)) == 6
            assert browser.js("return document.title") == "✓ followed, done"
            assert run.result().status == "done"
            assert browser.problems() == []
            assert [url for url in browser.requests() if not url.startswith(address)] == []
        finally:
            for event in go.values():
                event.set()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_both_pages_are_accessible(browser: Browser, survey: RunFolder, width: int, dark: bool) -> None:
    with served(survey.path.parent) as address:
        for page in (address, f"{address}runs/{survey.id}/"):
            browser.open(page, width=width, dark=dark)
            assert browser.violations() == []
            assert browser.js("return document.documentElement.scrollWidth") <= width
        browser.shot(f"ui-run-{width}-{'dark' if dark else 'light'}")


def test_hostile_texts_stay_texts(browser: Browser, hostile: RunFolder) -> None:
    with served(hostile.path.parent) as address:
        browser.open(address)
        browser.open(f"{address}runs/{hostile.id}/")
        for name in ("script", "end", "svg", "image"):
            row = list(HOSTILE).index(name) + 2
            browser.click(f"#table tr[aria-rowindex='{row}'] td:nth-child(2)")
            browser.wait(partial(answer_is, browser, HOSTILE[name]), "it is shown")
            browser.js("document.getElementById('detail').close()")
        assert browser.js("return window.harmed") is None
        assert browser.problems() == []
        assert [url for url in browser.requests() if not url.startswith(address)] == []


def test_a_server_that_has_ended_leaves_the_page_as_it_is(browser: Browser, survey: RunFolder) -> None:
    with served(survey.path.parent) as address:
        browser.open(address)
    browser.wait(lambda: any("ERR_CONNECTION_REFUSED" in problem for problem in browser.problems()), "it asked in vain")
    assert browser.texts("#runs th a") == ["band_gaps"]
