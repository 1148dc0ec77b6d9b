"""A login that ends while a run is going on: the run pauses, says what to do, and goes on after that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from acceptance_kit import LOGIN, LOGOUT_PAGE, Desk, Here, answers, end_of, recorded, write_endpoint

from metis_flow.api import Run
from metis_flow.testing import Faults, Gateway, Spell

COUNT = 30


@pytest.fixture
def gateway(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """A gateway where the user of the desk is logged in, and the endpoint `near` that points to it."""
    with Gateway(limits=None, latency=0.01) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        running.write_token_file(desk.home)
        write_endpoint(running, desk.folder, auth={"kind": "globus"})
        yield running


@dataclass(frozen=True)
class Ending:
    """A way for a login to end, and what is read then.

    Args:
        globus: arguments of `Gateway.set_globus` that bring it about.
        mended: those that undo it.
        remedy: what the user is told to do.
    """

    globus: dict[str, Any]
    mended: dict[str, Any]
    summary: str
    remedy: str


ENDINGS = {
    "the login cannot be renewed": Ending(
        {"tokens": "refuse"},
        {"tokens": "up"},
        "your Metis login has ended and cannot be renewed by itself",
        f"type: {LOGIN} (if that does not help, log out at {LOGOUT_PAGE} first)",
    ),
    "the policy asks for a new one": Ending(
        {"problem": "policy"},
        {"problem": ""},
        "your Globus login is too old for the gateway's policy",
        f"log out at {LOGOUT_PAGE}, then type: {LOGIN}",
    ),
    "it is of another identity": Ending(
        {"problem": "domain"},
        {"problem": ""},
        "you are logged in with an identity that the gateway does not accept",
        f"log out at {LOGOUT_PAGE}, then type: {LOGIN} and choose your ALCF or Argonne identity",
    ),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_the_run_pauses_and_goes_on_after_a_login(desk: Desk, here: Here, gateway: Gateway, ending: Ending) -> None:
    workflow = desk.questions(COUNT)
    gateway.set_faults(Faults(spells=[Spell("token_expiry", start=10)]))
    gateway.set_globus(**ending.globus)
    paused = desk.call("run", workflow, "--endpoint", "near.yaml", "--json")
    assert paused.code == 3
    document = paused.document
    assert document["status"] == "paused"
    run = Run.open("last", desk.folder / "runs")
    assert document["error"] == {"summary": ending.summary, "where": run.id, "hint": ending.remedy, "code": 3}
    assert f"because: {ending.summary}\n" in paused.err
    assert f"next: {ending.remedy}\nnext: metis-flow resume {run.id}\n" in paused.err
    made = recorded(run)
    assert 0 < len(made) < COUNT
    assert document["steps"]["ask"] == {"done": len(made), "failed": 0, "skipped": 0, "cached": 0}
    assert gateway.counts.answered == len(made)

    gateway.set_globus(**ending.mended)
    gateway.write_token_file(desk.home)
    ended = here("resume", "last", "--json")
    assert ended.code == 0, ended.err
    assert ended.document["status"] == "done"
    assert ended.document["steps"]["ask"]["done"] == COUNT
    assert recorded(run) == answers(COUNT)
    assert gateway.counts.answered == COUNT
    assert gateway.counts.repeated == 0


def test_resume_without_a_login_pauses_again(desk: Desk, here: Here, gateway: Gateway) -> None:
    workflow = desk.questions(COUNT)
    ending = ENDINGS["the login cannot be renewed"]
    gateway.set_faults(Faults(spells=[Spell("token_expiry", start=10)]))
    gateway.set_globus(**ending.globus)
    here("run", workflow, "--endpoint", "near.yaml")
    answered = gateway.counts.answered
    still = here("resume", "last")
    assert still.code == 3
    assert ending.remedy in still.err
    assert gateway.counts.answered == answered


def test_without_a_login_no_call_is_made(desk: Desk, here: Here, gateway: Gateway) -> None:
    (desk.home / ".globus").rename(desk.home / "gone")
    ended = here("run", desk.questions(3), "--endpoint", "near.yaml", "--json")
    assert ended.code == 3
    assert ended.document["error"]["summary"] == "you are not logged in to Metis"
    assert ended.document["error"]["hint"] == "type: metis-flow auth login"
    assert gateway.counts.total == 0


def test_eight_runs_that_share_a_login_refresh_it_once(desk: Desk, gateway: Gateway) -> None:
    """Their token dies while all of them are going on."""
    workflow = desk.questions(16)
    gateway.set_latency(0.2)
    gateway.set_globus(delay=0.3)
    words = ("run", workflow, "--endpoint", "near.yaml", "--json")
    runs = [desk.start(*words, "--runs-dir", f"runs-{n}") for n in range(8)]
    gateway.wait_for(lambda counts: counts.routes.get("models", 0) == 8 and counts.answered > 8, seconds=30)
    gateway.expire_tokens()
    ended = [end_of(run) for run in runs]
    assert [run.code for run in ended] == [0] * 8, ended[0].err
    assert all(run.document["steps"]["ask"]["done"] == 16 for run in ended)
    counts = gateway.counts
    assert (counts.refresh_attempts, counts.refreshes) == (1, 1)
    assert counts.kinds["401_inactive"] >= 8, "each of them was refused before"
    assert counts.answered == 8 * 16
