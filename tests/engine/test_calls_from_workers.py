"""``executor: workers`` on a chat step: its calls are sent from the site's workers, and written down by the driver."""

from __future__ import annotations

from typing import Any

import pytest
from engine_kit import Bench, entries, error_of, said

from metis_flow.errors import ConfigError

TEXT = """
    steps:
      ask:
        foreach: [iron, zinc]
        key: ${{ item }}
        executor: workers
        chat: {user: "What is ${{ item }}?", temperature: 0}
        output: {name: string}
        repair: 1
      use: {foreach: "${{ steps.ask.outputs }}", args: ["${{ item.name }}"], run: "echo $1"}
    outputs: {all: "${{ steps.use.outputs }}"}
"""


def wrong_once(body: dict[str, Any], n: int) -> Any:
    """Answers zinc only when asked to correct itself."""
    text = said(body)
    return "no JSON" if "zinc" in text else {"name": "Fe" if "iron" in text else "Zn"}


@pytest.mark.parametrize("site", ["local", "local-processes"])
def test_answers_from_workers_are_in_the_journal_as_any_others(chat_bench: Bench, site: str) -> None:
    chat_bench.answers.rule = wrong_once
    run = chat_bench.run(TEXT, site=site)
    assert run.status == "done", error_of(run, "ask", "iron")
    assert run.outputs["all"] == ["Fe", "Zn"]
    useless = entries(run, "call", "ask")
    assert {e["problem"] for e in useless} == {"the answer is not JSON"}
    assert chat_bench.gateway is not None
    assert run.state.calls == len(useless) + 2 == chat_bench.gateway.counts.answered
    assert all(e["call"]["text"] for e in entries(run, "done", "ask"))
    assert chat_bench.run(TEXT, site=site).state.calls == 0  # its answers are shared too


def test_a_failure_in_a_worker_is_that_of_the_instance(chat_bench: Bench) -> None:
    chat_bench.answers.rule = lambda body, n: "no JSON"
    run = chat_bench.run(TEXT)
    assert run.status == "failed"
    assert error_of(run, "ask", "iron")["kind"] == "output_invalid"
    assert chat_bench.gateway is not None
    assert run.state.calls == len(entries(run, "call", "ask")) == chat_bench.gateway.counts.answered


def test_an_endpoint_with_rates_is_asked_from_the_driver(chat_bench: Bench) -> None:
    assert chat_bench.gateway is not None
    chat_bench.gateway.write_endpoint(chat_bench.folder, "slow", limits={"requests_per_second": 5})
    with pytest.raises(ConfigError) as refused:
        chat_bench.run(TEXT, endpoint="slow")
    assert refused.value.summary == (
        "the chat step 'ask' cannot send its calls from 'threads': the driver keeps the rates of 'slow'"
    )
    assert refused.value.hint == "leave 'executor' out: the driver sends them"


def test_an_answer_that_the_drivers_check_refuses_was_paid_for_and_is_kept(chat_bench: Bench) -> None:
    chat_bench.answers.rule = lambda body, n: "steel"
    run = chat_bench.run(
        """
        steps:
          ask:
            executor: workers
            chat: {user: "Which element?", temperature: 0}
            check: ${{ output != 'steel' }}
        """
    )
    assert run.status == "failed"
    assert chat_bench.gateway is not None
    assert run.state.calls == chat_bench.gateway.counts.answered == 1
    (failed,) = entries(run, "failed", "ask")
    assert failed["call"]["text"] == "steel"
