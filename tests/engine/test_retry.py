"""``retry``: a failed instance is tried again, afresh; what each try came to stands in the journal."""

from __future__ import annotations

import pytest
from engine_kit import Bench, counts, entries, error_of

from metis_flow.testing import Reply

FLAKY = """
    steps:
      flaky:
        env: {COUNT: "${{ params.count }}"}
        retry: RETRY
        run: |
          echo x >> "$COUNT"
          [ $(wc -l < "$COUNT") -ge 3 ] || exit 7
          echo made it
    params: {count: {type: string}}
"""


@pytest.mark.parametrize("retry", ["3", "{attempts: 3}", "{attempts: 5, wait: 10ms, on: [7]}", "{on: [shell]}"])
def test_a_script_that_fails_twice_is_tried_three_times(bench: Bench, retry: str) -> None:
    run = bench.run(FLAKY.replace("RETRY", retry), {"count": str(bench.folder / "count")})
    assert run.status == "done"
    tries = [(e["attempt"], e["final"], e["error"]["kind"]) for e in entries(run, "failed")]
    assert tries == [(1, False, "shell"), (2, False, "shell")]
    done = entries(run, "done")
    assert [(e["attempt"], e["output"]) for e in done] == [(3, "made it")]
    assert counts(run, "flaky") == (1, 0, 0)


@pytest.mark.parametrize("retry", ["2", "{attempts: 9, on: [timeout, 8]}"])
def test_the_last_try_is_the_failure(bench: Bench, retry: str) -> None:
    run = bench.run(FLAKY.replace("RETRY", retry), {"count": str(bench.folder / "count")})
    assert run.status == "failed"
    assert error_of(run, "flaky")["summary"] == "the script ended with exit code 7"
    assert [e["final"] for e in entries(run, "failed")] == ([False, True] if retry == "2" else [True])


def test_a_call_that_fails_is_asked_again(chat_bench: Bench) -> None:
    said: list[int] = []

    def rule(body: object, n: int) -> object:
        said.append(n)
        return "ready" if len(said) > 1 else "not yet"

    chat_bench.answers.rule = rule
    run = chat_bench.run(
        """
        steps:
          a: {chat: Are you ready?, check: output == "ready", retry: {attempts: 2, on: [output_invalid]}}
        """
    )
    assert (run.status, run.rows("a").__next__()["output"]) == ("done", "ready")
    assert run.state.calls == 2  # the first was paid for too
    assert [e["final"] for e in entries(run, "failed")] == [False]


def test_a_failed_call_is_no_reason_where_retry_is_for_others(chat_bench: Bench) -> None:
    chat_bench.answers.rule = lambda body, n: Reply(fault="upstream_400")
    run = chat_bench.run("steps: {a: {chat: hi, retry: {attempts: 3, on: [timeout]}}}")
    assert run.status == "failed"
    assert len(entries(run, "failed")) == 1


def test_what_waits_for_its_next_try_does_not_hold_a_stop_up(bench: Bench) -> None:
    run = bench.run(
        """
        steps:
          a: {run: exit 3, retry: {attempts: 2, wait: 10m}}
        """,
        time_limit=3,
    )
    assert (run.status, run.state.exit_code) == ("stopped", 5)
    assert [e["final"] for e in entries(run, "failed")] == [False]
    assert counts(run, "a") == (0, 0, 0)


def test_failures_that_a_run_went_on_with_can_be_run_again(bench: Bench) -> None:
    run = bench.run(
        """
        steps:
          a: {foreach: [1, 2, 3], args: ["${{ item }}"], run: 'test -e "$OK" || test $1 = 1', on_error: continue,
              env: {OK: "${{ params.ok }}"}}
        params: {ok: {type: string}}
        """,
        {"ok": str(bench.folder / "ok")},
    )
    assert (run.status, counts(run, "a")) == ("done", (1, 2, 0))
    (bench.folder / "ok").touch()
    run.resume()
    assert counts(run, "a") == (1, 2, 0)  # a run that has ended is left alone
    run.resume(failed=True)
    assert (run.status, counts(run, "a")) == ("done", (3, 0, 0))
