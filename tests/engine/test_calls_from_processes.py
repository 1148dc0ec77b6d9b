"""``limits: {processes: 2}``: calls go out from worker processes beside the driver, in chunks, each with a lease."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from engine_kit import Bench, counts, entries, error_of, said
from test_lost_workers import is_gone
from test_signals import Spawn, only_run, spawn

from metis_flow.api import Run
from metis_flow.cli import run_command
from metis_flow.engine import load
from metis_flow.testing import Gateway, Limits, Reply

__all__ = ["spawn"]  # the fixture

MANY = """
    steps:
      ask:
        foreach: "${{ range(400) }}"
        key: "${{ item }}"
        chat: {user: "What is ${{ item }}?", temperature: 0}
    outputs: {all: "${{ steps.ask.outputs }}"}
"""
ANSWERS = [f"What is {n}?" for n in range(400)]


def spread(bench: Bench, **limits: Any) -> Bench:
    """Have two processes send the calls to the endpoint `local`."""
    assert bench.gateway is not None
    bench.gateway.write_endpoint(bench.folder, "local", limits={"processes": 2, **limits})
    return bench


def callers(gateway: Gateway) -> set[int]:
    """The processes that are connected to a gateway."""
    port = urlsplit(gateway.base_url).port
    found = {one.pid for one in psutil.net_connections("tcp") if one.raddr and one.raddr.port == port}
    return {pid for pid in found if pid is not None}


def notes(run: Run) -> list[dict[str, Any]]:
    """What the journal says of the processes."""
    return [entry for entry in entries(run, "note") if entry["kind"] == "processes"]


def test_two_processes_send_the_calls_and_the_driver_writes_the_answers_down(chat_bench: Bench) -> None:
    gateway = spread(chat_bench, concurrency=32).gateway
    assert gateway is not None
    seen: set[int] = set()

    def rule(body: dict[str, Any], n: int) -> Reply:
        if n % 50 == 49:
            seen.update(callers(gateway))
        return Reply(said(body), latency=0.02)

    chat_bench.answers.rule = rule
    run = chat_bench.run(MANY)
    assert run.status == "done"
    assert run.outputs["all"] == ANSWERS
    assert len(seen - {os.getpid()}) == 2
    assert all(is_gone(pid) for pid in seen - {os.getpid()})
    assert gateway.counts.high_water <= 32
    assert gateway.counts.answered == run.state.calls == 400
    first = next(entry for entry in entries(run, "done", "ask") if entry["key"] == "0")
    assert first["call"]["messages"] == [{"role": "user", "content": "What is 0?"}]
    assert (first["call"]["text"], first["call"]["settings"]) == ("What is 0?", {"temperature": 0})
    assert [(note["processes"], note["reason"]) for note in notes(run)] == [
        (2, "calls now go out from 2 processes: as the endpoint's file says")
    ]
    assert chat_bench.run(MANY).state.calls == 0  # its answers are shared as any others


@pytest.mark.timeout(120)
def test_calls_of_a_worker_that_is_killed_are_made_again(chat_bench: Bench) -> None:
    gateway = spread(chat_bench, concurrency=32).gateway
    assert gateway is not None

    killed: set[int] = set()

    def rule(body: dict[str, Any], n: int) -> Reply:
        found = callers(gateway) - {os.getpid()} if n >= 100 and not killed else set()
        if found:
            killed.add(found.pop())
            os.kill(min(killed), signal.SIGKILL)
        return Reply(said(body), latency=0.02)

    chat_bench.answers.rule = rule
    run = chat_bench.run(MANY)
    assert run.status == "done", run.state
    assert run.outputs["all"] == ANSWERS
    lost = entries(run, "failed", "ask")
    assert {entry["error"]["kind"] for entry in lost} == {"worker_lost"}
    again = {entry["key"] for entry in entries(run, "done", "ask") if entry["attempt"] == 2}
    assert again == {entry["key"] for entry in lost}


@pytest.mark.timeout(120)
def test_sigterm_keeps_what_is_in_flight_and_a_resume_asks_for_the_rest(chat_bench: Bench, spawn: Spawn) -> None:
    gateway = spread(chat_bench, concurrency=8).gateway
    assert gateway is not None
    chat_bench.answers.rule = lambda body, n: Reply(said(body), latency=0.1)
    process = spawn(chat_bench, "".join(line[4:] for line in MANY.splitlines(keepends=True)))
    gateway.wait_for(lambda counts: counts.answered > 30, seconds=60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 5
    run = only_run(chat_bench)
    kept = len(entries(run, "done"))
    assert 30 < kept == gateway.counts.answered < 400
    chat_bench.answers.rule = lambda body, n: said(body)
    resumed = run.resume()
    assert resumed.outputs["all"] == ANSWERS
    assert (gateway.counts.answered, gateway.counts.repeated) == (400, 0)


@pytest.mark.timeout(120)
def test_an_instance_that_is_cancelled_in_a_worker_is_not_asked_for(chat_bench: Bench) -> None:
    spread(chat_bench, concurrency=8)
    asked: list[str] = []

    def rule(body: dict[str, Any], n: int) -> Reply:
        asked.append(said(body))
        if len(asked) == 8:
            runs = str(chat_bench.folder / "runs")
            threading.Thread(target=run_command, args=(["cancel", "last", "ask@399", "--runs-dir", runs],)).start()
        return Reply(said(body), latency=0.1)

    chat_bench.answers.rule = rule
    run = chat_bench.run(MANY.replace("chat:", "on_error: continue\n        chat:"))
    assert run.status == "done"
    assert run.outputs["all"] == ANSWERS[:399]
    assert error_of(run, "ask", "399")["kind"] == "cancelled"
    assert "What is 399?" not in asked


def test_rates_are_kept_by_all_processes_together(chat_bench: Bench) -> None:
    gateway = spread(chat_bench, requests_per_second=20).gateway
    assert gateway is not None
    gateway.set_limits(Limits(requests_per_second=20, requests_per_second_address=None))
    try:
        run = chat_bench.run(MANY.replace("400", "60"))
    finally:
        gateway.set_limits(None)
    assert run.status == "done"
    assert run.outputs["all"] == ANSWERS[:60]
    assert gateway.counts.answered == 60
    assert gateway.counts.statuses.keys() == {200}


ALL_KINDS = """
    steps:
      plain: {foreach: "${{ range(60) }}", key: "${{ item }}", chat: "${{ item }}", on_error: continue}
      form: {foreach: "${{ range(60) }}", chat: "form ${{ item }}", output: {n: integer}, repair: 1}
      first: {foreach: [a, b], chat: "${{ item }}"}
      more:
        foreach: ${{ steps.first.results }}
        chat: {messages: ["${{ item.messages }}", {role: user, content: more}]}
      rounds: {chat: "round ${{ round }}", until: round == 2, max_rounds: 3}
      checked: {foreach: "${{ range(9) }}", chat: "check ${{ item }}", check: output == "good", repair: 1}
    outputs: {form: "${{ steps.form.outputs }}", more: "${{ steps.more.outputs }}"}
"""
FAULTS = {"7": "429_requests", "8": "cut", "9": "upstream_503", "10": "null_content", "11": "length"}


def test_every_kind_of_chat_step_and_of_fault(chat_bench: Bench) -> None:
    """What another try may mend is mended by the driver; repairs are made by the worker, checks asked by the driver."""
    gateway = spread(chat_bench).gateway
    assert gateway is not None
    seen: set[str] = set()

    def rule(body: dict[str, Any], n: int) -> Any:
        text, length = said(body), len(body["messages"])
        first = text not in seen
        seen.add(text)
        if text.startswith("form"):
            return "no JSON"
        if "That answer is wrong" in text:
            return "good" if "check" in str(body["messages"][0]) else {"n": 1}
        return Reply(f"{text} {length}", fault=FAULTS.get(text) if first else None)

    chat_bench.answers.rule = rule
    run = chat_bench.run(ALL_KINDS)
    assert run.status == "done", run.state
    plain = {key: f"{key} 1" for key in map(str, range(60)) if key != "11"}
    assert {entry["key"]: entry["output"] for entry in entries(run, "done", "plain")} == plain
    assert [entry["key"] for entry in entries(run, "failed")] == ["11"]
    assert error_of(run, "plain", "11")["kind"] == "length_stop"
    assert run.outputs["form"] == [{"n": 1}] * 60
    assert all(entry["messages"][-1]["content"].startswith("form") for entry in entries(run, "call", "form"))
    assert run.outputs["more"] == ["more 3", "more 3"]
    assert len(entries(run, "answer", "rounds")) == 2
    assert counts(run, "checked") == (9, 0, 0)
    paid = [entry for entry in entries(run) if entry["e"] == "call" or "call" in entry]
    assert run.state.calls == len(paid)


def test_where_no_worker_can_be_started_the_driver_sends_the_calls(chat_bench: Bench) -> None:
    run = spread(chat_bench).run(MANY, runs_dir=chat_bench.folder / "my runs")
    assert run.outputs["all"] == ANSWERS
    [note] = notes(run)
    assert note["processes"] == 1
    assert note["reason"].startswith(
        "calls go out from the driver alone: its worker processes are lost "
        "(ConfigError: Parsl cannot start worker processes for a run below "
    )


def test_a_key_of_the_environment_stays_in_the_driver(chat_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = chat_bench.gateway
    assert gateway is not None
    monkeypatch.setenv("THE_KEY", gateway.token)
    chat_bench.write(
        "local.yaml",
        f"""
        kind: openai
        base_url: {gateway.openai_url}
        auth: {{kind: env, variable: THE_KEY}}
        limits: {{processes: 2}}
        """,
    )
    run = chat_bench.run(MANY, endpoint=str(chat_bench.folder / "local.yaml"))
    assert run.outputs["all"] == ANSWERS
    reason = "calls go out from the driver alone: the key of 'local' stays in the driver"
    assert [(note["processes"], note["reason"]) for note in notes(run)] == [(1, reason)]


@pytest.mark.timeout(120)
def test_a_busy_driver_takes_workers_by_itself(chat_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = chat_bench.gateway
    assert gateway is not None
    gateway.write_endpoint(chat_bench.folder, "local", limits={"concurrency": 16})
    monkeypatch.setattr(load, "usable_cores", lambda: 3)
    for name, value in {"BUSY": 0.0, "WORTH_SECONDS": 0.0, "LOOK_SECONDS": 0.2, "ENOUGH_CALLS": 1}.items():
        monkeypatch.setattr(load, name, value)
    told: list[list[str]] = []
    seen: set[int] = set()

    def rule(body: dict[str, Any], n: int) -> Reply:
        is_told = bool(told and told[0])
        if is_told and len(seen - {os.getpid()}) < 2 and n % 20 == 0:
            seen.update(callers(gateway))
        return Reply(said(body), latency=0.02 if is_told else 0.4)  # slow until the workers are there

    chat_bench.answers.rule = rule
    run = chat_bench.run(MANY.replace("400", "1500"), on_start=lambda progress: told.append(progress.notes))
    assert run.outputs["all"] == [f"What is {n}?" for n in range(1500)]
    assert [note["reason"] for note in notes(run)] == ["calls now go out from 2 processes: the driver's one was busy"]
    assert len(seen - {os.getpid()}) == 2


@pytest.mark.timeout(120)
def test_workers_send_nothing_more_when_the_driver_is_killed(chat_bench: Bench, spawn: Spawn) -> None:
    gateway = spread(chat_bench, concurrency=4).gateway
    assert gateway is not None
    chat_bench.answers.rule = lambda body, n: Reply(said(body), latency=0.2)
    process = spawn(chat_bench, "".join(line[4:] for line in MANY.splitlines(keepends=True)))
    gateway.wait_for(lambda counts: counts.answered > 4, seconds=60)
    [interchange] = [one.pid for one in psutil.Process(process.pid).children() if "interchange" in one.name()]
    process.kill()
    process.wait()
    assert is_gone(interchange)
    sent = gateway.wait_for(lambda counts: counts.in_flight == 0, seconds=30).total
    assert sent < 200
    assert gateway.counts.total == sent
