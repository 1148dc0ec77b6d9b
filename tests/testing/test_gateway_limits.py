"""Requests a second and tokens a minute."""

from __future__ import annotations

from typing import Any

import pytest

from metis_flow.testing import Gateway, Limits, Model, Person, Reply
from metis_flow.testing.gateway.clock import Clock
from metis_flow.testing.gateway.rates import SlidingSecond, TokenWindows


class Hand(Clock):
    """A clock that a test turns."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 100.0

    def now(self) -> float:
        return self.time


def test_a_second_slides_and_refused_requests_do_not_count() -> None:
    clock = Hand()
    rate = SlidingSecond(clock)
    assert [rate.allows("u", 2) for _ in range(4)] == [True, True, False, False]
    clock.time += 0.5
    assert rate.allows("other", 2)
    assert not rate.allows("u", 2)
    clock.time += 0.5
    assert [rate.allows("u", 2) for _ in range(3)] == [True, True, False]
    assert rate.allows("u", None)


def test_a_minute_begins_with_its_first_charge() -> None:
    clock = Hand()
    windows = TokenWindows(clock)
    windows.charge(40, "m")
    clock.time += 59
    windows.charge(2, "m")
    assert windows.used("m") == 42
    clock.time += 1
    assert windows.used("m") == 0
    clock.time += 30
    windows.charge(5, "m")
    clock.time += 59
    assert windows.used("m") == 5


def test_ten_requests_a_second_of_one_user_over_all_routes(send: Any) -> None:
    with Gateway(speed=0.01) as gateway:  # a second that lasts 100, so that no machine is too slow
        paths = ["/whoami", "/metis/jobs", "/metis/models", "/list-endpoints", "/metis/api/v1/chat/completions"]
        statuses = [send(gateway, path).status for path in paths * 2]
        assert statuses == [200] * 10
        got = send(gateway, "/whoami")
        assert (got.status, got.json) == (429, {"detail": "Too many requests."})
        assert send(gateway, "/whoami", token="unknown").status == 401
        other = gateway.issue_token(person=Person(id="2"))
        assert send(gateway, "/whoami", token=other).status == 200
        assert gateway.counts.kinds["429_requests"] == 1


def test_fifty_requests_a_second_of_one_address(send: Any) -> None:
    with Gateway(speed=0.01, limits=Limits(None, 5, None, None)) as gateway:
        assert [send(gateway, "/health", token=None).status for _ in range(6)] == [200] * 5 + [429]
        got = send(gateway)
        assert got.json["error"] == "Rate limit exceeded"
        assert got.json["retry_after"] == "1 second"
        assert set(got.json) == {"error", "message", "retry_after"}


def test_the_rate_frees_itself(send: Any) -> None:
    with Gateway(speed=20, limits=Limits(1, None, None, None)) as gateway:
        assert send(gateway).status == 200
        while send(gateway).status == 429:
            pass
        assert gateway.counts.statuses[200] == 2


def ten_tokens(body: dict[str, Any], n: int) -> Reply:
    return Reply("x", usage={"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10})


def test_tokens_are_checked_before_and_charged_after(send: Any) -> None:
    with Gateway(ten_tokens, speed=0.01, limits=Limits(None, None, 25, None)) as gateway:
        assert [send(gateway).status for _ in range(4)] == [200, 200, 200, 429]
        got = send(gateway)
        assert (got.code, got.message) == ("too_many_requests", "Tokens/minute limit exceeded")
        assert got.json["error"]["info"] == {"global_model_usage": 30, "user_model_usage": 30}
        other = {"model": "DeepSeek-R1-0528", "messages": []}
        assert send(gateway, body=other).status == 200
        assert send(gateway, token=gateway.issue_token(person=Person(id="2"))).status == 200
        assert gateway.counts.tokens == 50


def test_a_model_has_a_limit_for_all_its_users(send: Any) -> None:
    with Gateway(ten_tokens, speed=0.01, limits=Limits(None, None, None, 20)) as gateway:
        tokens = [gateway.issue_token(person=Person(id=str(i))) for i in range(3)]
        assert [send(gateway, token=token).status for token in tokens] == [200, 200, 429]
        got = send(gateway, token=tokens[2])
        assert got.json["error"]["info"] == {"global_model_usage": 20, "user_model_usage": 0}


def test_streams_and_errors_are_not_charged(send: Any) -> None:
    with Gateway(ten_tokens, speed=0.01, limits=Limits(None, None, 10, None)) as gateway:
        body = {"model": "gpt-oss-120b", "messages": [], "stream": True}
        gateway.fail_next("upstream_500")
        assert send(gateway).status == 500
        assert [send(gateway, body=body).status for _ in range(3)] == [200] * 3
        assert send(gateway).status == 200
        assert send(gateway).status == 429


@pytest.mark.parametrize(("own", "expected"), [(7, 7), (None, 60_000), (0, None)])
def test_the_limits_are_shown_where_there_are_any(send: Any, own: int | None, expected: int | None) -> None:
    with Gateway(models=[Model("m", tokens_per_minute_user=own)]) as gateway:
        shown = send(gateway, "/metis/models").json[0]
    assert shown.get("rate_limit_token_per_minute_per_user") == expected
    assert shown["rate_limit_token_per_minute"] == 100_000


def test_limits_change_while_it_runs(send: Any) -> None:
    with Gateway(speed=0.01, limits=Limits(1, None, None, None)) as gateway:
        assert [send(gateway).status for _ in range(2)] == [200, 429]
        gateway.set_limits(None)
        assert send(gateway).status == 200
        gateway.set_limits(Limits(1))
        assert send(gateway).status == 429
        gateway.reset()
        assert send(gateway).status == 200
