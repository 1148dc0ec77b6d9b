"""Several requests in one body."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from inference_kit import HastyClock, Reply, completion, get, opened, serving

from metis_flow.errors import LoginRequired, MetisFlowError
from metis_flow.inference import errors

FIELDS: dict[str, Any] = {"supports": {"array_of_requests": "yes"}, "requests_per_body": 4}
BUSY = {"error": {"code": "internal_endpoint_error", "message": "Upstream endpoint returned 503: b''", "status": 503}}


def echo(request: dict[str, Any]) -> Any:
    return completion(f"echo of {request['messages'][0]['content']}").document


def together(handler: Any, count: int, **fields: Any) -> tuple[list[Any], list[Any], dict[str, int]]:
    """The answers (or errors), the bodies that were sent, and the retries."""

    async def main() -> tuple[list[Any], list[Any], dict[str, int]]:
        async with (
            serving(handler) as server,
            opened(server.endpoint(**FIELDS, **fields), clock=HastyClock()) as inference,
        ):
            calls = (get(inference, str(n), model=f"m{n % 2}" if count > 9 else "m") for n in range(count))
            results = await asyncio.gather(*calls, return_exceptions=True)
            return results, server.bodies, inference.snapshot().retries

    return asyncio.run(main())


def test_answers_come_back_in_order_and_bodies_are_full() -> None:
    results, bodies, retries = together(lambda body, n: Reply([echo(request) for request in body]), 18)
    assert [answer.text for answer in results] == [f"echo of {n}" for n in range(18)]
    assert sorted(len(body) for body in bodies) == [1, 1, 4, 4, 4, 4]
    assert all(len({request["model"] for request in body}) == 1 for body in bodies)
    assert retries == {}


def test_a_single_failed_one_is_sent_again_alone() -> None:
    def handler(body: Any, n: int) -> Reply:
        if isinstance(body, dict):
            return Reply(echo(body))
        return Reply([BUSY if request["messages"][0]["content"] == "2" else echo(request) for request in body])

    results, bodies, retries = together(handler, 4)
    assert [answer.text for answer in results] == [f"echo of {n}" for n in range(4)]
    assert [len(body) if isinstance(body, list) else "alone" for body in bodies] == [4, "alone"]
    assert bodies[1]["messages"][0]["content"] == "2"
    assert retries == {"upstream_trouble": 1}


def test_one_bad_request_does_not_fail_the_others() -> None:
    def handler(body: Any, n: int) -> Reply:
        bad = Reply({"error": {"code": "invalid_request", "message": "no"}}, status=422)
        if isinstance(body, list):
            return bad
        return bad if body["messages"][0]["content"] == "1" else Reply(echo(body))

    results, bodies, _ = together(handler, 4)
    assert [isinstance(result, errors.InvalidRequest) for result in results] == [False, True, False, False]
    assert len(bodies) == 5


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply("<html>", content_type="text/html"), "not_json"),
        (Reply([]), "not_json"),
        (Reply(cut=True), "connection_cut"),
        (Reply({"detail": "Too many requests."}, status=429), "too_many_requests"),
    ],
)
def test_a_body_that_fails_as_a_whole(reply: Reply, kind: str) -> None:
    results, bodies, retries = together(lambda body, n: reply if isinstance(body, list) else Reply(echo(body)), 4)
    assert [answer.text for answer in results] == [f"echo of {n}" for n in range(4)]
    assert len(bodies) == 5
    assert retries == {kind: 4}


def test_a_refused_token_pauses_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "tok-secret")
    refused = Reply({"error": {"code": "unauthorized", "message": "Access token expired."}}, status=401)
    results, bodies, _ = together(lambda body, n: refused, 4, auth={"kind": "env", "variable": "MY_KEY"})
    assert {type(result) for result in results} == {LoginRequired}
    assert len(bodies) == 1


def test_a_server_that_does_not_take_it_is_asked_one_by_one() -> None:
    """422 dict_type: the body is not an object."""

    def handler(body: Any, n: int) -> Reply:
        if isinstance(body, list):
            return Reply({"detail": [{"type": "dict_type", "loc": ["body"], "msg": "not an object"}]}, status=422)
        return Reply(echo(body))

    results, bodies, _ = together(handler, 4)
    assert not any(isinstance(result, MetisFlowError) for result in results)
    assert len(bodies) == 5
