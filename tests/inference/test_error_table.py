"""Every refusal of the gateway: what becomes of the call, when it is sent again, and what the user reads.

A row is what the gateway sends, word for word, and what must follow.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from inference_kit import HastyClock, Reply, completion, get, opened, serving

from metis_flow.errors import LoginRequired, MetisFlowError
from metis_flow.inference import errors
from metis_flow.inference.errors import CallFailed

MODEL = "gpt-oss-120b"
LOGIN = "metis-flow auth login --force"
LATER = "try again later: metis-flow resume last"
HTML_502 = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body></body>\r\n</html>\r\n"
HTML_404 = "\n<!doctype html>\n<html lang='en'>\n<head>\n  <title>Not Found</title>\n</head>\n</html>\n"


def coded(status: int, code: str, message: str, **info: Any) -> Reply:
    return Reply({"error": {"code": code, "message": message, "info": info}}, status=status)


def upstream(status: int, text: str = '{"error": {"message": "simulated"}}') -> Reply:
    return coded(status, "internal_endpoint_error", f"Upstream endpoint returned {status}: b'{text}'.")


@dataclass(frozen=True)
class Row:
    """A refusal, and what follows from it for good.

    Args:
        reply: what the gateway always answers.
        kind: slug of the error in the end.
        summary: what the user reads first.
        hint: what the user is told to do (a part of it).
        waits: seconds between the first tries; () where the call is sent once only.
    """

    name: str
    reply: Reply
    kind: str
    summary: str
    hint: str
    waits: tuple[float, ...] = ()


BACK_OFF = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
SETTINGS_HINT = "check the model settings and messages of the step"

ROWS = [
    Row(
        "401 (B) no header",
        Reply({"detail": "Error: Missing ('Authorization': 'Bearer <your-access-token>') in request headers."}, 401),
        "login",
        "the request carried no token",
        "type: export MY_KEY=… with a valid key",
    ),
    Row(
        "401 unauthorized, inactive",
        coded(401, "unauthorized", "Token is either not active or invalid"),
        "login",
        "the endpoint 'local' does not accept the token",
        "type: export MY_KEY=… with a valid key",
    ),
    Row(
        "401 unauthorized, remembered",
        coded(401, "unauthorized", "Token introspection: Token is either not active or invalid"),
        "login",
        "the endpoint 'local' does not accept the token",
        "type: export MY_KEY=… with a valid key",
    ),
    Row(
        "401 unauthorized, expired",
        coded(401, "unauthorized", "Access token expired."),
        "login",
        "the endpoint 'local' does not accept the token",
        "type: export MY_KEY=… with a valid key",
    ),
    Row(
        "401 unauthorized, header",
        coded(401, "unauthorized", "Auth only allows header type Authorization: Bearer <token>."),
        "login",
        "the endpoint 'local' does not accept the token",
        "type: export MY_KEY=… with a valid key",
    ),
    Row(
        "401 unauthorized, identity provider",
        coded(
            401,
            "unauthorized",
            "Error: Permission denied. Must authenticate with anl.gov, alcf.anl.gov, or providers with approved "
            "projects. Currently authenticated as Mallory Other (mallory@gmail.com).",
        ),
        "login",
        "you are logged in with an identity that the gateway does not accept",
        f"log out at https://app.globus.org/logout, then type: {LOGIN} and choose your ALCF or Argonne identity",
    ),
    Row(
        "401 unauthorized, policy",
        coded(
            401,
            "unauthorized",
            "Error: Permission denied from internal policies. This is likely due to a high-assurance timeout. Please "
            "logout by visiting https://app.globus.org/logout, and re-authenticate",
        ),
        "login",
        "your Globus login is too old for the gateway's policy",
        f"log out at https://app.globus.org/logout, then type: {LOGIN}",
    ),
    Row(
        "401 unauthorized, group",
        coded(
            401,
            "unauthorized",
            "Error: Permission denied. User (Nina Nogroup - nina@uchicago.edu) not part of the Globus Groups applied "
            "for uchicago.edu IdP.",
        ),
        "login",
        "your account is not in the Globus group that may use this gateway",
        f"ask support@alcf.anl.gov for access, then type: {LOGIN}",
    ),
    Row(
        "401 unauthorized, group of services",
        coded(401, "unauthorized", "Error: User is not a member of an allowed Globus Group."),
        "login",
        "your account is not in the Globus group that may use this gateway",
        "ask support@alcf.anl.gov for access",
    ),
    Row(
        "401 unauthorized, model",
        coded(401, "unauthorized", f"Error: Permission denied to access endpoint metis-api-{MODEL}."),
        "access_denied",
        f"you may not use the model '{MODEL}'",
        "choose another (metis-flow models), or ask support@alcf.anl.gov for access",
    ),
    Row(
        "401 unauthorized, Globus down",
        coded(401, "unauthorized", "Could not introspect token with Globus /v2/oauth2/token/introspect. ('POST',…)"),
        "login_service_down",
        "the gateway cannot reach Globus to check who you are; your login may be fine",
        "wait: the gateway asks again after a minute",
        (60.0,) * 5,
    ),
    Row(
        "401 unauthorized, dependent token",
        coded(401, "unauthorized", "Token introspection: Could not recover dependent access token for groups.api"),
        "login_service_down",
        "the gateway cannot reach Globus to check who you are; your login may be fine",
        "wait: the gateway asks again after a minute",
        (60.0,) * 5,
    ),
    Row(
        "401 internal_endpoint_error",
        upstream(401),
        "upstream_key_refused",
        "the model's server refused the gateway's own key; your login is fine",
        "tell support@alcf.anl.gov; nothing on your side helps",
    ),
    Row(
        "400 unsupported_framework",
        coded(400, "unsupported_framework", "framework vllm not available on cluster metis."),
        "unsupported",
        "the endpoint does not offer this",
        "check 'base_url' in the endpoint's file",
    ),
    Row(
        "400 unsupported_endpoint",
        coded(400, "unsupported_endpoint", "'embeddings' not available on cluster 'metis'"),
        "unsupported",
        "the endpoint does not offer this",
        "check 'base_url' in the endpoint's file",
    ),
    Row(
        "400 batch_unavailable",
        coded(400, "batch_unavailable", "Batches are not available."),
        "unsupported",
        "the endpoint does not offer this",
        "check 'base_url' in the endpoint's file",
    ),
    Row(
        "400 (B)",
        Reply({"detail": "Cannot parse request body"}, 400),
        "invalid_request",
        "the server will not take the request (status 400)",
        SETTINGS_HINT,
    ),
    Row(
        "404 cluster_not_found",
        coded(404, "cluster_not_found", "The requested cluster 'mars' does not exist."),
        "wrong_address",
        "the gateway has no such cluster",
        "check 'base_url' in the endpoint's file",
    ),
    Row(
        "404 endpoint_not_found",
        coded(404, "endpoint_not_found", "The requested endpoint 'metis-api-nope' does not exist."),
        "unknown_model",
        f"the endpoint has no model '{MODEL}'",
        "see which there are: metis-flow models (names are exact, with no '/')",
    ),
    Row(
        "404 (E)",
        Reply(HTML_404, 404, content_type="text/html"),
        "wrong_address",
        "nothing is served at the endpoint's address",
        "check 'base_url' in the endpoint's file; it ends before /chat/completions",
    ),
    Row(
        "422 (C) dict_type",
        Reply({"detail": [{"type": "dict_type", "loc": ["body", "payload"], "msg": "should be a dictionary"}]}, 422),
        "invalid_request",
        "the server will not take the request (status 422)",
        SETTINGS_HINT,
    ),
    Row(
        "422 invalid_request, errors",
        coded(
            422,
            "invalid_request",
            "Invalid FIRST control fields.",
            errors=[{"field": "messages", "message": "Input should be a valid list", "type": "list_type"}],
        ),
        "invalid_request",
        "the server will not take the request (status 422): messages: Input should be a valid list",
        SETTINGS_HINT,
    ),
    Row(
        "422 invalid_request, fields",
        coded(422, "invalid_request", "FIRST-reserved request fields are not accepted.", fields=["cache_salt"]),
        "invalid_request",
        "the server will not take the request (status 422): cache_salt",
        SETTINGS_HINT,
    ),
    Row(
        "429 (B)",
        Reply({"detail": "Too many requests."}, 429),
        "too_many_requests",
        "too many requests a second",
        "wait; other runs and status queries of yours count too",
        (1.0, 2.0, 4.0, 8.0, 8.0),
    ),
    Row(
        "429 (D)",
        Reply({"error": "Rate limit exceeded", "message": "Too many requests", "retry_after": "1 second"}, 429),
        "too_many_requests",
        "too many requests a second",
        "wait; other runs and status queries of yours count too",
        (1.0, 2.0, 4.0, 8.0, 8.0),
    ),
    Row(
        "429 internal_endpoint_error",
        upstream(429),
        "upstream_busy",
        "the model's server has more requests than it takes",
        "wait; a lower limits.concurrency helps",
        (2.0, 4.0, 8.0, 16.0, 32.0, 60.0),
    ),
    Row(
        "503 internal_endpoint_error, not live",
        coded(503, "internal_endpoint_error", f"'{MODEL}' is not currently live on Metis."),
        "model_not_live",
        f"the model '{MODEL}' is not live, and a call does not start it",
        "see which are: metis-flow models; or run with --wait",
        (60.0,) * 5,
    ),
    Row(
        "503 cluster_under_maintenance",
        coded(503, "cluster_under_maintenance", "Metis is down until Monday."),
        "under_maintenance",
        "the cluster is under maintenance",
        "try again later, or run with --wait; see https://metis.alcf.anl.gov/status",
        (60.0,) * 5,
    ),
    Row(
        "504 internal_endpoint_error",
        coded(504, "internal_endpoint_error", "Timeout calling https://up/v1/chat/completions.", timeout=120),
        "gateway_timeout",
        "the gateway gave up waiting for the model",
        LATER,
        BACK_OFF,
    ),
    Row(
        "500 failed_to_get_cluster_jobs",
        coded(500, "failed_to_get_cluster_jobs", "Could not get the status page."),
        "status_page_broken",
        "the gateway cannot read which models are live",
        LATER,
        BACK_OFF,
    ),
    Row(
        "504 failed_to_get_cluster_jobs",
        coded(504, "failed_to_get_cluster_jobs", "The status page took too long."),
        "status_page_broken",
        "the gateway cannot read which models are live",
        LATER,
        BACK_OFF,
    ),
    Row(
        "500 internal_endpoint_error, HTTP error",
        coded(500, "internal_endpoint_error", "HTTP error calling API at http://up/v1: All connection attempts failed"),
        "upstream_trouble",
        "the gateway could not reach the model's server",
        LATER,
        BACK_OFF,
    ),
    Row(
        "400 internal_endpoint_error",
        upstream(400),
        "invalid_request",
        "the model's server will not take the request (status 400)",
        SETTINGS_HINT,
    ),
    Row(
        "404 internal_endpoint_error",
        upstream(404),
        "unknown_model",
        f"the gateway lists the model '{MODEL}', but its server does not have it",
        "choose another (metis-flow models), or tell support@alcf.anl.gov",
    ),
    Row(
        "408 internal_endpoint_error",
        upstream(408),
        "upstream_trouble",
        "the model's server failed (status 408)",
        LATER,
        BACK_OFF,
    ),
    Row(
        "413 internal_endpoint_error",
        upstream(413),
        "too_large",
        "the request (71 bytes) is too big for the server or for the model's context",
        "send less text in one call: split it over the items of a foreach",
    ),
    Row(
        "422 internal_endpoint_error",
        upstream(422),
        "invalid_request",
        "the model's server will not take the request (status 422)",
        SETTINGS_HINT,
    ),
    Row(
        "500 internal_endpoint_error",
        upstream(500),
        "upstream_trouble",
        "the model's server failed (status 500)",
        LATER,
        BACK_OFF,
    ),
    Row(
        "400 internal_endpoint_error, function call",
        upstream(400, '{"error": "Model started a function call but did not complete it"}'),
        "leaked_markup",
        "the model began a function call and did not complete it",
        "reword the prompt, or try another temperature",
        (),
    ),
    Row(
        "500 internal_error",
        Reply({"error": {"code": "internal_error", "message": "Internal Server Error", "error_id": "6b4035"}}, 500),
        "internal_trouble",
        "the gateway failed, or could not read what the model's server answered",
        LATER,
        BACK_OFF,
    ),
    Row(
        "502 (E)",
        Reply(HTML_502, 502, content_type="text/html"),
        "bad_gateway",
        "the gateway is down, or restarted during the call",
        LATER,
        BACK_OFF,
    ),
    Row(
        "413 (E)",
        Reply("<html><title>413 Request Entity Too Large</title></html>", 413, content_type="text/html"),
        "too_large",
        "the request (71 bytes) is too big for the server or for the model's context",
        "split it over the items of a foreach",
    ),
    Row(
        "400, OpenAI's own, context",
        Reply({"error": {"code": "context_length_exceeded", "message": "maximum context length is 4096"}}, 400),
        "too_large",
        "the request (71 bytes) is too big for the server or for the model's context",
        "split it over the items of a foreach",
    ),
    Row(
        "400, llama.cpp's own, context",
        Reply({"error": {"code": 400, "message": "exceeds the available context size", "type": "exceed"}}, 400),
        "too_large",
        "the request (71 bytes) is too big for the server or for the model's context",
        "split it over the items of a foreach",
    ),
    Row(
        "429, OpenAI's own, quota",
        Reply({"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}, 429),
        "quota_exhausted",
        "the account has no quota left",
        "see the account's page of the provider",
    ),
    Row(
        "403, OpenAI's own",
        Reply({"error": {"code": "unsupported_country", "message": "no"}}, 403),
        "access_denied",
        "the server does not let you use this",
        "check which models your key may use",
    ),
    Row(
        "404, OpenAI's own",
        Reply({"error": {"code": "model_not_found", "message": f"The model `{MODEL}` does not exist"}}, 404),
        "unknown_model",
        f"the endpoint has no model '{MODEL}'",
        "see which there are: metis-flow models",
    ),
    Row(
        "503, any server",
        Reply("overloaded", 503),
        "server_trouble",
        "the server failed (status 503)",
        LATER,
        BACK_OFF,
    ),
]


def for_good(reply: Reply) -> tuple[MetisFlowError, int, list[float], dict[str, int]]:
    """The error of a server that always answers so, how often it was asked, the waits, and the retries by kind."""

    async def main() -> tuple[MetisFlowError, int, list[float], dict[str, int]]:
        clock = HastyClock()
        async with (
            serving(lambda body, n: reply) as server,
            opened(server.endpoint(auth={"kind": "env", "variable": "MY_KEY"}), clock=clock) as inference,
        ):
            with pytest.raises(MetisFlowError) as caught:
                await get(inference, model=MODEL)
            assert inference.snapshot().in_flight == 0
            return caught.value, len(server.bodies), clock.waits, inference.snapshot().retries

    return asyncio.run(main())


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_follows_from_a_refusal(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "tok-secret")
    error, asked, waits, retries = for_good(row.reply)
    assert error.kind == row.kind
    assert error.summary == row.summary
    assert error.hint is not None
    assert row.hint in error.hint
    assert isinstance(error, LoginRequired if row.kind == "login" else CallFailed)
    if row.kind == "leaked_markup":
        assert asked == 4
    elif row.waits:
        assert tuple(waits[: len(row.waits)]) == row.waits
        assert retries == {row.kind: asked - 1}
    else:
        assert (asked, waits, retries) == (1, [], {}), "what cannot get better is sent once"


@pytest.mark.parametrize("row", [row for row in ROWS if row.waits], ids=[row.name for row in ROWS if row.waits])
def test_a_refusal_that_passes_is_not_seen(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "tok-secret")

    async def main() -> None:
        clock = HastyClock()
        async with (
            serving(lambda body, n: row.reply if n < 2 else completion("there")) as server,
            opened(server.endpoint(auth={"kind": "env", "variable": "MY_KEY"}), clock=clock) as inference,
        ):
            assert (await get(inference, model=MODEL)).text == "there"
            assert clock.waits[:2] == list(row.waits[:2])

    asyncio.run(main())


def test_429_too_many_requests_waits_out_the_window() -> None:
    """429 too_many_requests: tokens a minute."""
    full = coded(429, "too_many_requests", "Tokens/minute limit exceeded", global_model_usage=60, user_model_usage=60)

    async def main() -> None:
        clock = HastyClock()
        replies = [completion("first", tokens=60), full, completion("second")]
        async with serving(lambda body, n: replies[n]) as server:
            limits = {"tokens_per_minute": 1000}
            async with opened(server.endpoint(limits=limits), clock=clock) as inference:
                await get(inference)
                clock.time += 20
                assert (await get(inference)).text == "second"
                assert clock.waits == [40.0], "to the end of the window that the first answer began"
                assert inference.snapshot().retries == {"tokens_exhausted": 1}

    asyncio.run(main())


def test_429_too_many_requests_of_somebody_else_is_found_out_step_by_step() -> None:
    full = coded(429, "too_many_requests", "Tokens/minute limit exceeded", global_model_usage=60, user_model_usage=60)

    async def main() -> None:
        clock = HastyClock()
        async with (
            serving(lambda body, n: full if n < 4 else completion("there")) as server,
            opened(server.endpoint(limits={"tokens_per_minute": 1000}), clock=clock) as inference,
        ):
            answers = await asyncio.gather(*(get(inference, max_tokens=5) for _ in range(3)))
            assert [answer.text for answer in answers] == ["there"] * 3
            assert clock.time - 1000 <= 60
            assert len(server.bodies) <= 9

    asyncio.run(main())


def test_500_internal_error_of_a_big_body_is_not_sent_again() -> None:
    reply = Reply({"error": {"code": "internal_error", "message": "Internal Server Error", "error_id": "1"}}, 500)

    async def main() -> None:
        async with serving(lambda body, n: reply) as server, opened(server.endpoint(), clock=HastyClock()) as inference:
            with pytest.raises(errors.TooLarge) as caught:
                await get(inference, "x" * 2_700_000)
            assert caught.value.summary == (
                "the request (2,700,055 bytes) is too big for the server or for the model's context"
            )
            assert len(server.bodies) == 1

    asyncio.run(main())


def test_a_retry_after_is_heeded() -> None:
    async def main() -> None:
        clock = HastyClock()
        busy = Reply({"error": {"message": "slow down"}}, 429, headers={"Retry-After": "17"})
        async with (
            serving(lambda body, n: busy if n < 1 else completion()) as server,
            opened(server.endpoint(), clock=clock) as inference,
        ):
            await get(inference)
            assert clock.waits[0] == 17.0

    asyncio.run(main())


def test_patience_is_shared_by_all_calls_of_a_model() -> None:
    asleep = coded(503, "internal_endpoint_error", f"'{MODEL}' is not currently live on Metis.")

    async def main() -> None:
        clock = HastyClock()
        async with serving(lambda body, n: asleep) as server, opened(server.endpoint(), clock=clock) as inference:
            results = await asyncio.gather(*(get(inference, model=MODEL) for _ in range(50)), return_exceptions=True)
            assert {type(result) for result in results} == {errors.ModelNotLive}
            assert clock.time - 1000 < 1200, "50 calls do not wait 50 times"

    asyncio.run(main())


def test_who_is_patient_waits_for_the_model_to_come_back() -> None:
    asleep = coded(503, "internal_endpoint_error", f"'{MODEL}' is not currently live on Metis.")

    async def main() -> None:
        clock = HastyClock()

        def handler(body: Any, n: int) -> Reply:
            return asleep if clock.time < 1000 + 7200 else completion("awake")

        async with serving(handler) as server, opened(server.endpoint(), clock=clock, patient=True) as inference:
            waiting = asyncio.gather(*(get(inference, model=MODEL) for _ in range(20)))
            while inference.snapshot().waiting_why is None:
                await asyncio.sleep(0)
            assert inference.snapshot().waiting_why == f"the model '{MODEL}' is not live, and a call does not start it"
            assert {answer.text for answer in await waiting} == {"awake"}
            assert len(server.bodies) < 200

    asyncio.run(main())


def test_every_error_pickles_and_goes_into_the_journal() -> None:
    import pickle

    for row in ROWS[:1] + ROWS[-1:]:
        error, *_ = for_good_without_key(row.reply)
        again = pickle.loads(pickle.dumps(error))
        assert again.as_dict() == error.as_dict() == json.loads(json.dumps(error.as_dict()))


def for_good_without_key(reply: Reply) -> tuple[MetisFlowError, int]:
    async def main() -> tuple[MetisFlowError, int]:
        async with serving(lambda body, n: reply) as server, opened(server.endpoint(), clock=HastyClock()) as inference:
            with pytest.raises(MetisFlowError) as caught:
                await get(inference, model=MODEL)
            return caught.value, len(server.bodies)

    return asyncio.run(main())
