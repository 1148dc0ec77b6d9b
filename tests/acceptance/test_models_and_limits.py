"""Whole runs whose model is not there or not live, and runs that reach a limit of their workflow."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from acceptance_kit import Desk, Here, answers, recorded, write_endpoint

from metis_flow.api import Run
from metis_flow.testing import Gateway, Model

SPEED = 120.0
MODELS = (Model("gpt-oss-120b"), Model("DeepSeek-R1-0528"), Model("gemma-4-31B-it", status="Offline"))


@pytest.fixture
def gateway(desk: Desk) -> Iterator[Gateway]:
    """A gateway without rates, and the endpoint `near` that points to it."""
    with Gateway(limits=None, speed=SPEED, models=MODELS) as running:
        write_endpoint(running, desk.folder, limits={"concurrency": 2})
        yield running


@pytest.fixture
def here(here: Here) -> Here:
    """Its clocks are as fast as the gateway's."""
    here.speed = SPEED
    return here


def test_an_unknown_model_is_refused_before_the_first_call(desk: Desk, gateway: Gateway, here: Here) -> None:
    ended = here("run", desk.questions(3, model="gpt-oss-12b"), "--endpoint", "near.yaml", "--json")
    assert ended.code == 2
    assert ended.document["error"]["summary"] == "the endpoint 'near' has no model 'gpt-oss-12b'"
    assert ended.document["error"]["hint"] == "did you mean 'gpt-oss-120b'?"
    assert gateway.counts.routes == {"models": 1, "jobs": 1}


def test_a_model_that_is_offline_is_refused_with_the_live_ones(desk: Desk, gateway: Gateway, here: Here) -> None:
    ended = here("run", desk.questions(3, model="gemma-4-31B-it"), "--endpoint", "near.yaml")
    assert ended.code == 2
    assert "the model 'gemma-4-31B-it' is Offline, and a call does not start it\n" in ended.err
    assert "live now: gpt-oss-120b, DeepSeek-R1-0528\n" in ended.err
    hint = "choose a live one, ask support@alcf.anl.gov to start it, or wait until somebody does: --wait any"
    assert f"hint: {hint}\n" in ended.err
    assert gateway.counts.answered == 0


def test_a_model_that_is_offline_is_refused_at_once_though_one_waits(desk: Desk, gateway: Gateway, here: Here) -> None:
    ended = here("run", desk.questions(3, model="gemma-4-31B-it"), "--endpoint", "near.yaml", "--wait")
    assert ended.code == 2
    assert gateway.counts.routes["jobs"] == 1


WAITS = [("Starting", ["--wait"]), ("Queued", ["--wait"]), ("Offline", ["--wait", "any"])]


@pytest.mark.parametrize(("status", "wait"), WAITS)
def test_who_waits_is_told_and_the_run_goes_on(
    desk: Desk, gateway: Gateway, here: Here, status: str, wait: list[str]
) -> None:
    gateway.set_status("gpt-oss-120b", status, at_once=True)

    def bring_up() -> None:
        gateway.wait_for(lambda counts: counts.routes.get("jobs", 0) >= 2)
        gateway.set_status("gpt-oss-120b", "Live", at_once=True)

    helper = threading.Thread(target=bring_up)
    helper.start()
    ended = here("run", desk.questions(3), "--endpoint", "near.yaml", *wait, "--json")
    helper.join()
    assert ended.code == 0, ended.err
    assert f"waiting for gpt-oss-120b ({status})" in ended.err
    assert gateway.counts.statuses == {200: gateway.counts.total}, "no call was sent before the model was live"
    assert recorded(Run.open(ended.document["record"])) == answers(3)


def test_without_wait_a_model_that_is_starting_is_refused(desk: Desk, gateway: Gateway, here: Here) -> None:
    gateway.set_status("gpt-oss-120b", "Starting", at_once=True)
    ended = here("run", desk.questions(3), "--endpoint", "near.yaml")
    assert ended.code == 2
    assert "the model 'gpt-oss-120b' is Starting, not yet Live\n" in ended.err
    assert "hint: wait for it: --wait\n" in ended.err


@pytest.mark.parametrize(("limit", "reason", "raised"), [
    ("calls: 5", "the limit of 5 calls was reached", "calls: 12"),
    ("tokens: 100", "the limit of 100 tokens was reached", "tokens: 10_000"),
])  # fmt: skip
def test_a_limit_ends_the_run_cleanly_and_a_higher_one_goes_on(
    desk: Desk, gateway: Gateway, here: Here, limit: str, reason: str, raised: str
) -> None:
    ended = here("run", desk.questions(12, head=f"limits: {{{limit}}}"), "--endpoint", "near.yaml", "--json")
    assert ended.code == 4
    assert ended.document["status"] == "stopped"
    name = limit.partition(":")[0]
    assert f"because: {reason}\n" in ended.err
    assert f"next: raise limits.{name} in the workflow, and resume with --accept\n" in ended.err
    run = Run.open("last", desk.folder / "runs")
    first = recorded(run)
    assert 0 < len(first) < 12
    assert gateway.counts.answered == len(first), "what was under way is kept"
    if name == "calls":
        assert len(first) == 5
    else:
        assert ended.document["usage"]["total_tokens"] >= 100

    desk.questions(12, head=f"limits: {{{raised}}}")
    refused = here("resume", "last")
    assert refused.code == 2
    assert "the workflow has changed since this run was started" in refused.err
    done = here("resume", "last", "--accept", "--json")
    assert done.code == 0, done.err
    assert done.document["calls"] == 12
    assert recorded(run) == answers(12)
    assert gateway.counts.repeated == 0


def test_a_resume_under_the_same_limit_stops_again(desk: Desk, gateway: Gateway, here: Here) -> None:
    here("run", desk.questions(12, head="limits: {calls: 5}"), "--endpoint", "near.yaml")
    again = here("resume", "last")
    assert again.code == 4
    assert gateway.counts.answered == 5


def test_a_plan_says_what_a_run_will_ask_for(desk: Desk, gateway: Gateway, here: Here) -> None:
    limits = {"requests_per_second": 10, "tokens_per_minute": 60_000}
    write_endpoint(gateway, desk.folder, "rated", limits=limits)
    workflow = desk.questions(900, head="", model="{name: gpt-oss-120b, max_tokens: 100}")
    expected = here("plan", workflow, "--endpoint", "rated.yaml", "--json").document["forecast"]
    assert (expected["calls"], expected["answer_tokens_at_most"], expected["complete"]) == (900, 90_000, True)
    assert expected["least_minutes"] == pytest.approx(900 / 10 / 60)
    assert expected["most_minutes"] == pytest.approx(900 / 10 / 60), "one further window of a minute is less"
    assert "allow it in 1m30s at the least" in here("plan", workflow, "--endpoint", "rated.yaml").out
    assert gateway.counts.total == 0, "nobody is asked"
