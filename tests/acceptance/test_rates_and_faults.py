"""Whole runs against a gateway's real limits and through all its faults: small forms of what benchmarks/ measures."""

from __future__ import annotations

from pathlib import Path

from benchmarks import faults, rates, whole_run
from metis_flow.record.state import RunState


def nothing_is_amiss(recorded: whole_run.Recorded, questions: dict[str, str]) -> None:
    """Each question has one answer, its own, and no other outcome."""
    assert (recorded.lost(questions), recorded.wrong(questions), recorded.doubled) == (0, 0, 0)
    assert recorded.failed == {}
    assert len(recorded.answers) == len(questions) == recorded.calls
    state: RunState = recorded.run.state
    assert (state.status, state.exit_code) == ("done", 0)


def test_a_run_keeps_the_gateways_limits(tmp_path: Path) -> None:
    load = rates.Load(calls=60, per_minute=8_000, speed=40.0)
    result = rates.measure(tmp_path, load)
    nothing_is_amiss(result.recorded, load.questions())
    assert result.counts.repeated == 0
    assert result.counts.tokens > 2 * load.per_minute, "the run goes over three windows"
    assert result.recorded.run.state.usage.total_tokens == result.counts.tokens
    assert result.refused.get("429_tokens", 0) <= 3, "it waits for the next window; it does not try"


def test_the_least_time_counts_windows_and_requests() -> None:
    load = rates.Load(calls=300, per_minute=60_000, per_second=10)
    assert load.least_seconds([400] * 300) == 60 + 15
    assert load.least_seconds([401] * 300) == 60 + 15, "the last call of a window may go over its limit"
    assert load.least_seconds([410] * 300) == 120 + 0.6
    assert load.least_seconds([400] * 100) == 10


def test_a_run_through_all_faults_loses_spoils_and_doubles_nothing(tmp_path: Path) -> None:
    load = faults.Load(calls=400)
    result = faults.measure(tmp_path, load)
    nothing_is_amiss(result.recorded, load.questions())
    assert result.counts.answered == 400
    assert result.counts.repeated == 0
    assert result.counts.refresh_attempts == 1
    assert result.counts.faults.keys() == {
        *("429_requests", "429_tokens", "upstream_429", "upstream_500", "502", "504", "cut", "cut_mid", "not_json"),
        *("null_content", "not_live", "globus_outage", "token_expiry"),
    }
    assert result.recorded.retries.keys() == {
        *("too_many_requests", "tokens_exhausted", "upstream_busy", "upstream_trouble", "bad_gateway"),
        *("gateway_timeout", "connection_cut", "not_json", "no_content"),
        *("model_not_live", "login_service_down", "token_refused"),
    }


def test_a_wrong_a_lost_and_a_doubled_answer_would_be_seen() -> None:
    """The measures themselves."""
    questions = {"a": "one", "b": "two", "c": "three"}
    said = {"a": ["You said: one", "You said: one"], "b": ["You said: one"]}
    found = whole_run.Recorded(None, 0.0, said, {}, {}, 3, [])  # type: ignore[arg-type]
    assert (found.lost(questions), found.wrong(questions), found.doubled) == (1, 1, 1)
