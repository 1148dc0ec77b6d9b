"""How long the report of a long run takes to make, and how fast its page answers in a browser.

``python -m benchmarks.report`` writes the record of a run of 10,000 calls, makes its report in a process of its own,
and opens it in headless Chromium, where it searches, filters, sorts, and opens one instance. It needs Chromium and its
driver.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.records import COMMAND, ask
from benchmarks.whole_run import MODEL, STUDY, table
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter
from metis_flow.record.lockfile import RunLock, write_lock

SETTINGS = {"temperature": 0, "max_tokens": 400}
LETTERS = "etaoinshrdlucmfwypvbgk"
_FLUSH = 2000

# How long the page's own thread is busy with what the user did, until the next frame is drawn.
_TIMED = """
const [act, done] = [arguments[0], arguments[arguments.length - 1]];
const began = performance.now();
new Function(act)();
requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
"""
_READY = """
const done = arguments[arguments.length - 1];
const wait = () => document.body.dataset.ready ? done(performance.now()) : setTimeout(wait, 5);
wait();
"""
_TYPE = "const box = document.getElementById('search'); box.value = {!r}; box.dispatchEvent(new Event('input'));"
_CHOOSE = "const box = document.getElementById('status'); box.value = {!r}; box.dispatchEvent(new Event('input'));"
_SORT = "document.querySelectorAll('#table thead button')[{}].click();"
ACTIONS = {
    "search for a letter": _TYPE.format("a"),
    "search for a key": _TYPE.format("q77"),
    "search for nothing": _TYPE.format(""),
    "filter by status": _CHOOSE.format("failed"),
    "filter off": _CHOOSE.format(""),
    "sort by key": _SORT.format(0),
    "sort by tokens": _SORT.format(5),
    "scroll to the end": "document.getElementById('table-box').scrollTop = 1e9;",
    "open an instance": "document.querySelector('#table tbody tr[data-row] a').click();",
}


def write_record(runs_dir: Path, calls: int) -> RunFolder:
    """The record of a run that asked so many questions: one in fifty failed, one in twenty was asked twice."""
    workflow = runs_dir.parent / "questions.yaml"
    workflow.write_text(STUDY, encoding="utf-8")
    folder = RunFolder.create(runs_dir, "questions")
    folder.write_bytes("workflow.yaml", STUDY.encode())
    lock = RunLock(
        run=folder.id,
        workflow=str(workflow),
        parameters={"questions": "questions.jsonl"},
        models={"ask": {"name": MODEL, **SETTINGS}},
        endpoint="metis",
        site="local",
        tasks={},
        sources={},
        seeds={},
        options={},
        packages={},
        git=None,
    )
    write_lock(folder, lock)
    writer = JournalWriter(folder.journal)
    for number, entry in enumerate(_entries(folder, calls)):
        writer.append(entry)
        if number % _FLUSH == 0:
            writer.flush()
    writer.close()
    return folder


def _entries(folder: RunFolder, calls: int) -> Iterator[dict[str, Any]]:
    began = 1_700_000_000.0
    chance = random.Random(1)
    words = ["".join(chance.choices(LETTERS, k=chance.randint(2, 10))) for _ in range(4000)]
    yield {"e": "start", "t": began, "run": folder.id, "host": "node", "pid": 1, "generation": 1, "resumed": False}
    yield {"e": "step", "t": began, "step": "ask", "items": calls}
    for n in range(calls):
        yield from _instance(n, began + n / 20, chance, words)
    now = began + calls / 20
    yield {"e": "stepdone", "t": now, "step": "ask", "status": "done"}
    yield {"e": "outputs", "t": now, "outputs": {}, "missing": {}}
    yield {"e": "end", "t": now, "status": "done", "exit": 0}


def _instance(n: int, now: float, chance: random.Random, words: list[str]) -> Iterator[dict[str, Any]]:
    """Some 3 kB: an abstract to read and a short answer, in words as frequent as those of a language."""
    ids = {"step": "ask", "key": f"q{n}", "attempt": 1}
    seconds = chance.lognormvariate(0.5, 0.6)
    call = {
        "n": 0,
        "model": MODEL,
        "messages": [{"role": "user", "content": _prose(chance, words, 280)}],
        "settings": SETTINGS,
        "text": _prose(chance, words, 80),
        "finish": "stop",
        "usage": {"prompt_tokens": 420, "completion_tokens": 130, "total_tokens": 550},
        "seconds": round(seconds, 4),
    }
    fails = n % 50 == 7
    if fails or n % 20 == 3:
        yield {"e": "call", "t": now - 1, **ids, **call, "problem": "at 'gap': 'unknown' is not of type 'number'"}
    whole = {**ids, "address": f"ask@q{n}", "index": n, "t0": now - seconds - 0.5, "t1": now}
    if fails:
        error = {"kind": "output_invalid", "summary": "the answer is not valid: 'unknown' is not of type 'number'"}
        yield {"e": "failed", "t": now, **whole, "error": error, "final": True}
    else:
        yield {"e": "done", "t": now, **whole, "output": call["text"], "kind": "json", "call": call}


def _prose(chance: random.Random, words: list[str], count: int) -> str:
    return " ".join(words[min(int(chance.paretovariate(0.7)) - 1, len(words) - 1)] for _ in range(count))


def in_browser(page: Path) -> dict[str, str]:
    """Open a page, do what a reader does, and say how long the page took each time."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for switch in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "window-size=1280,900"):
        options.add_argument(f"--{switch}")
    with tempfile.TemporaryDirectory() as profile:
        options.add_argument(f"--user-data-dir={profile}")
        driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        try:
            driver.set_script_timeout(60)
            driver.get(page.as_uri())
            took = {"open": driver.execute_async_script(_READY)}
            took |= {name: driver.execute_async_script(_TIMED, act) for name, act in ACTIONS.items()}
        finally:
            driver.quit()
    return {f"{name} (browser)": f"{milliseconds:,.0f} ms" for name, milliseconds in took.items()}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="Leave the page here.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        runs_dir = Path(place) / "runs"
        runs_dir.mkdir()
        folder = write_record(runs_dir, arguments.calls)
        page = arguments.keep or Path(place) / "report.html"
        made = ask([*COMMAND, "report", str(folder.path), "-o", str(page), "--open", "no", "--json"])
        size = json.loads(made.out)["bytes"]
        rows: dict[str, object] = {"metis-flow report": made, "the page": f"{size / 1e6:.2f} MB"}
        print(table(rows | in_browser(page)))


if __name__ == "__main__":
    main()
