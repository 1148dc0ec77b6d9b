"""What goes wrong: single faults, rates, spells, and the counts of them."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from metis_flow.testing import Faults, Gateway, Reply, Spell, request_hash

WAYS = [
    ("401_inactive", 401, "unauthorized", "Token is either not active or invalid"),
    ("401_globus", 401, "unauthorized", "Could not introspect token with Globus"),
    ("401_upstream", 401, "internal_endpoint_error", 'Upstream endpoint returned 401: b\'{"error"'),
    ("429_upstream", 429, "internal_endpoint_error", "Upstream endpoint returned 429: b'"),
    ("429_tokens", 429, "too_many_requests", "Tokens/minute limit exceeded"),
    ("500", 500, "internal_endpoint_error", "simulated upstream 500"),
    ("upstream_400", 400, "internal_endpoint_error", "simulated upstream 400"),
    ("upstream_503", 503, "internal_endpoint_error", "simulated upstream 503"),
    ("upstream_529", 500, "internal_error", "Internal Server Error"),
    ("500_internal", 500, "internal_error", "Internal Server Error"),
    ("500_jobs", 500, "failed_to_get_cluster_jobs", "Unexpected error calling"),
    ("504_jobs", 504, "failed_to_get_cluster_jobs", "Timeout calling"),
    ("503_maintenance", 503, "cluster_under_maintenance", "Metis is under maintenance."),
    ("503_not_live", 503, "internal_endpoint_error", "'gpt-oss-120b' is not currently live on Metis."),
    ("504", 504, "internal_endpoint_error", "Timeout calling https://sn40l.invalid/v1/chat/completions."),
    ("timeout", 504, "internal_endpoint_error", "Timeout calling https://"),
    ("stalled", 504, "internal_endpoint_error", "Timeout calling https://"),
    ("refused", 500, "internal_endpoint_error", "All connection attempts failed"),
    ("dropped", 500, "internal_endpoint_error", "peer closed connection"),
    ("upstream_not_json", 500, "internal_error", "Internal Server Error"),
]


@pytest.mark.parametrize(("fault", "status", "code", "text"), WAYS)
def test_a_refusal(send: Any, fault: str, status: int, code: str, text: str) -> None:
    with Gateway(speed=2000) as gateway:
        gateway.fail_next(fault)
        got = send(gateway)
        assert (got.status, got.code) == (status, code)
        assert text in got.message
        assert send(gateway).status == 200
        assert gateway.counts.answered == 1
        assert sum(gateway.counts.faults.values()) == 1


def test_refusals_of_other_shapes(send: Any) -> None:
    with Gateway() as gateway:
        gateway.fail_next("429_requests")
        assert send(gateway).json == {"detail": "Too many requests."}
        gateway.fail_next("429_nginx")
        assert isinstance(send(gateway).json["error"], str)
        gateway.fail_next("502")
        got = send(gateway)
        assert (got.status, got.headers["Content-Type"]) == (502, "text/html")
        assert b"<h1>502 Bad Gateway</h1>" in got.raw
        gateway.fail_next("not_json")
        got = send(gateway)
        assert (got.status, got.raw[:15]) == (200, b"<!doctype html>")


def test_the_time_limit_is_told(send: Any) -> None:
    with Gateway(speed=2000) as gateway:
        gateway.fail_next("timeout")
        assert send(gateway).json["error"]["info"] == {"timeout": 120}


def test_an_answer_slower_than_the_limit_ends_in_504(send: Any) -> None:
    with Gateway(lambda body, n: Reply("late", latency=60), speed=2000) as gateway:
        assert send(gateway).status == 504


@pytest.mark.parametrize(
    ("fault", "content", "finish"),
    [
        ("null_content", None, "stop"),
        ("empty_content", "", "stop"),
        ("reasoning", None, "stop"),
        ("think", "<think>\nLet me see.\n</think>\n\ntwelve", "stop"),
        ("length", "twe", "length"),
    ],
)
def test_a_spoilt_answer_is_charged_but_not_counted_as_usable(
    send: Any, fault: str, content: str | None, finish: str
) -> None:
    with Gateway(lambda body, n: "twelve") as gateway:
        gateway.fail_next(fault)
        got = send(gateway)
        choice = got.json["choices"][0]
        assert (got.status, choice["message"]["content"], choice["finish_reason"]) == (200, content, finish)
        if fault == "reasoning":
            assert choice["message"]["reasoning_content"] == "twelve"
        counts = gateway.counts
        assert (counts.answered, counts.kinds) == (0, {fault: 1})
        assert counts.tokens == got.json["usage"]["total_tokens"]


def test_leaked_markup(send: Any) -> None:
    with Gateway(lambda body, n: Reply("twelve", fault="markup")) as gateway:
        assert "<|channel|>" in send(gateway).json["choices"][0]["message"]["content"]


def test_a_cut_connection(send: Any) -> None:
    with Gateway() as gateway:
        gateway.fail_next("cut")
        with pytest.raises(http.client.RemoteDisconnected):
            send(gateway)
        gateway.fail_next("cut_mid")
        with pytest.raises(http.client.IncompleteRead):
            send(gateway)
        assert gateway.wait_for(lambda counts: counts.total == 2).kinds == {"cut": 1, "cut_mid": 1}
        assert send(gateway).status == 200


def test_an_answer_to_nobody_is_not_counted_as_usable() -> None:
    with Gateway(latency=0.3) as gateway:
        body = json.dumps({"model": "gpt-oss-120b", "messages": []})
        connection = http.client.HTTPConnection(gateway.base_url.removeprefix("http://"))
        path = "/resource_server/metis/api/v1/chat/completions"
        connection.request("POST", path, body, {"Authorization": f"Bearer {gateway.token}"})
        gateway.wait_for(lambda counts: counts.in_flight == 1)
        connection.close()
        counts = gateway.wait_for(lambda counts: counts.total == 1)
        assert (counts.kinds, counts.answered) == ({"client_gone": 1}, 0)


def plan() -> Faults:
    return Faults(seed=3, rate={"429_requests": 0.1, "500": 0.1, "null_content": 0.1}, at={0: "502"})


def test_a_plan_is_the_same_each_time(send: Any) -> None:
    runs = []
    for _ in range(2):
        with Gateway(limits=None, faults=plan()) as gateway:
            statuses = [send(gateway).status for _ in range(60)]
            runs.append((statuses, gateway.counts.faults))
    assert runs[0] == runs[1]
    statuses, faults = runs[0]
    assert statuses[0] == 502
    assert faults["502"] == 1
    assert faults["upstream_500"] == statuses.count(500)
    assert faults["429_requests"] == statuses.count(429)
    assert set(faults) == {"502", "upstream_500", "429_requests", "null_content"}


def test_spells(send: Any) -> None:
    spells = [
        Spell("not_live", start=1, calls=2),
        Spell("maintenance", start=4),
        Spell("globus_outage", start=6),
        Spell("429_requests", start=8),
    ]
    with Gateway(limits=None, speed=5000, faults=Faults(spells=spells)) as gateway:
        got = [send(gateway).status for _ in range(7)]
        assert got == [200, 503, 503, 200, 503, 200, 401]
        assert gateway.counts.faults == {"not_live": 2, "maintenance": 1, "globus_outage": 1}
        assert gateway.counts.kinds == {"answer": 3, "503_not_live": 2, "503_maintenance": 1, "401_globus": 1}
        gateway.reset()  # the failed check of the token is remembered
        assert [send(gateway).status for _ in range(3)] == [200, 429, 200]
        assert gateway.counts.kinds == {"answer": 2, "429_requests": 1}


def test_a_spell_of_some_time_ends(send: Any) -> None:
    faults = Faults(spells=[Spell("not_live", start=0, seconds=60)])
    with Gateway(limits=None, speed=300, faults=faults) as gateway:
        assert send(gateway).status == 503
        while send(gateway).status == 503:
            pass
        assert gateway.counts.faults["not_live"] == gateway.counts.kinds["503_not_live"]


def test_a_token_expires_at_a_call(send: Any) -> None:
    with Gateway(limits=None, faults=Faults(spells=[Spell("token_expiry", start=2)])) as gateway:
        assert [send(gateway).status for _ in range(4)] == [200, 200, 401, 401]
        assert send(gateway, token=gateway.issue_token()).status == 200


def test_faults_change_while_it_runs(send: Any) -> None:
    with Gateway(limits=None, faults=Faults(rate={"502": 1.0})) as gateway:
        assert send(gateway).status == 502
        gateway.set_faults(Faults(at={0: "500"}))
        assert [send(gateway).status for _ in range(2)] == [500, 200]
        gateway.set_faults(None)
        assert send(gateway).status == 200


def test_it_counts_what_was_paid_for_twice(send: Any) -> None:
    with Gateway(limits=None) as gateway:
        bodies = [{"model": "gpt-oss-120b", "messages": [{"role": "user", "content": str(i)}]} for i in (1, 2, 1)]
        for body in bodies:
            send(gateway, body=body)
        counts = gateway.counts
        assert (counts.answered, counts.distinct, counts.repeated) == (3, 2, 1)
        assert gateway.answered == {request_hash(bodies[0]): 2, request_hash(bodies[1]): 1}
        assert [call.body for call in gateway.calls] == bodies
        assert {call.route for call in gateway.calls} == {"chat/completions"}


def test_a_plan_goes_through_json() -> None:
    faults = Faults(seed=4, rate={"500": 0.5}, at={3: "cut"}, spells=[Spell("not_live", 5, 6)])
    assert Faults.from_json(json.loads(json.dumps(faults.as_json()))) == faults


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: Faults(rate={"null_contents": 0.1}),
            "no fault is called 'null_contents': did you mean 'null_content'",
        ),
        (lambda: Faults(rate={"500": 0.7, "502": 0.4}), "must be 0 to 1 together"),
        (lambda: Faults(at={1: "brok"}), "no fault is called 'brok'"),
        (lambda: Spell("not_alive", 1), "no fault is called 'not_alive'"),
        (lambda: Reply(fault="up"), "no fault is called 'up'"),
    ],
)
def test_a_mistake_in_a_plan_is_an_error(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()
