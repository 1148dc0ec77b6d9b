"""What a user reads of a call that failed for good, at the end of a whole run.

The rows of the gateway's error table stand one by one in tests/inference/test_error_table.py.
"""

from __future__ import annotations

import json
import threading
import time
from queue import Queue
from typing import Any

from acceptance_kit import Desk, Here, write_endpoint

from benchmarks.whole_run import running_at
from metis_flow.api import Workflow
from metis_flow.engine.progress import Progress
from metis_flow.inference import errors
from metis_flow.inference.refusal_bodies import read_refusal
from metis_flow.inference.refusals import error_of
from metis_flow.testing import Gateway, Limits, Reply

SETTINGS = "check the model settings and messages of the step"
SUPPORT = "support@alcf.anl.gov"

#: A fault that no repetition mends -> what is wrong, and what to do.
WORDS = {
    "upstream_400": ("the model's server will not take the request (status 400)", SETTINGS),
    "upstream_401": (
        "the model's server refused the gateway's own key; your login is fine",
        f"tell {SUPPORT}; nothing on your side helps",
    ),
    "upstream_403": (
        "the model's server refused the gateway's own key; your login is fine",
        f"tell {SUPPORT}; nothing on your side helps",
    ),
    "upstream_404": (
        "the gateway lists the model 'gpt-oss-120b', but its server does not have it",
        f"choose another (metis-flow models), or tell {SUPPORT}",
    ),
    "upstream_413": (
        "the request (78 bytes) is too big for the server or for the model's context",
        "send less text in one call: split it over the items of a foreach",
    ),
    "upstream_422": ("the model's server will not take the request (status 422)", SETTINGS),
    "length": (
        "the answer was cut short after 2 tokens",
        "raise max_tokens, or ask for a shorter answer",
    ),
}


def rule(body: dict[str, Any], n: int) -> Reply:
    """Fails as the question asks for."""
    return Reply(content="It is well known.", fault=body["messages"][-1]["content"])


def test_each_failure_says_what_is_wrong_and_what_to_do(desk: Desk, here: Here) -> None:
    desk.workflow(
        f"""
        ask:
          foreach: {json.dumps([*WORDS, "think"])}
          key: ${{{{ item }}}}
          chat: ${{{{ item }}}}
          on_error: continue
        """
    )
    with Gateway(rule, limits=None) as gateway:
        write_endpoint(gateway, desk.folder)
        run = Workflow.load(desk.folder / "trial.yaml").run(
            endpoint=str(desk.folder / "near.yaml"), runs_dir=desk.folder / "runs"
        )
        assert gateway.counts.routes["chat/completions"] == len(WORDS) + 1, "what cannot get better is sent once"
    assert run.status == "done"
    assert {row["key"]: row["error"] for row in run.rows("ask") if row["error"]} == {
        fault: summary for fault, (summary, _) in WORDS.items()
    }
    shown = here("errors", run.id).out
    assert "2 failed (ask 2), for instance ask@upstream_401\n" in shown, "those of one cause are told together"
    for summary, hint in WORDS.values():
        assert summary in shown
        assert hint in shown


def test_a_request_that_is_too_big_is_not_sent_twice(desk: Desk) -> None:
    desk.workflow("ask: {chat: \"${{ 'x' * 2_700_000 }}\"}")
    with Gateway(limits=None) as gateway:
        write_endpoint(gateway, desk.folder)
        run = Workflow.load(desk.folder / "trial.yaml").run(
            endpoint=str(desk.folder / "near.yaml"), runs_dir=desk.folder / "runs"
        )
        assert gateway.counts.routes["chat/completions"] == 1
    assert run.status == "failed"
    (row,) = run.rows("ask")
    assert row["error"].startswith("the request (2,700,")
    assert row["error"].endswith(" bytes) is too big for the server or for the model's context")


def test_429_too_many_requests_by_tokens() -> None:
    """No call ends with it, for the next minute comes; these words are for who looks meanwhile."""
    message = "Tokens/minute limit exceeded"
    info = {"global_model_usage": 100_213, "user_model_usage": 60_213}
    body = json.dumps({"error": {"code": "too_many_requests", "message": message, "info": info}})
    error = error_of(read_refusal(429, body, model="gpt-oss-120b"))
    assert isinstance(error, errors.TokensExhausted)
    assert error.summary == "the tokens of this minute are used up"
    assert error.hint == "wait: the next minute begins within 60 s; other runs of yours count too"
    assert error.detail == f"HTTP 429 too_many_requests: {message}"


def test_a_run_that_waits_for_the_next_minute_says_so(desk: Desk) -> None:
    desk.questions(12)
    limits = {"requests_per_second": None, "tokens_per_minute": 100}
    shown: Queue[Progress] = Queue()
    seen: set[str | None] = set()

    def watch() -> None:
        progress = shown.get()
        while not progress.finished:
            snapshot = progress.limiter()
            seen.add(snapshot.waiting_why if snapshot is not None else None)
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    rates = Limits(requests_per_second=None, tokens_per_minute_user=100)
    with Gateway(limits=rates, speed=100.0) as gateway, running_at(100.0):
        write_endpoint(gateway, desk.folder, limits=limits)
        run = Workflow.load(desk.folder / "trial.yaml").run(
            endpoint=str(desk.folder / "near.yaml"), runs_dir=desk.folder / "runs", on_start=shown.put
        )
        assert gateway.counts.kinds.get("429_tokens", 0) == 0
    watcher.join()
    assert run.status == "done"
    assert "tokens a minute" in seen
