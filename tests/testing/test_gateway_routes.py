"""Routes, methods, and what the gateway says of a body."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from metis_flow.testing import Gateway

CHAT = "/metis/api/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hello"}]
GOOD = {"model": "gpt-oss-120b", "messages": MESSAGES}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway(limits=None) as found:
        yield found


def test_the_open_routes(gateway: Gateway, send: Any) -> None:
    assert send(gateway, "/health", token=None).json == {"status": "ok"}
    assert send(gateway, "/status", token=None).json == {"metis": True}


def test_whoami_tells_the_person(gateway: Gateway, send: Any) -> None:
    assert send(gateway, "/whoami").json == {
        "id": "00000000-0000-4000-8000-000000000001",
        "name": "Ada Test",
        "username": "ada@anl.gov",
        "user_group_uuids": [],
        "idp_id": "0dcf5063-bffd-40f7-b403-24f97e32fa47",
        "idp_name": "Argonne National Laboratory",
        "auth_service": "globus",
    }


@pytest.mark.parametrize(
    "path",
    ["/", "/health/", "/whoami/", CHAT + "/", "/metis/api/v1/models", "/metis/api/v2/chat/completions", "//jobs",
     "/metis/chat/completions", "/v1/batches/", "/openapi"],
)  # fmt: skip
def test_there_is_no_such_route(gateway: Gateway, send: Any, path: str) -> None:
    got = send(gateway, path)
    assert (got.status, got.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert b"<h1>Not Found</h1>" in got.raw


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", CHAT, "POST"), ("PUT", CHAT, "POST"), ("POST", "/metis/jobs", "GET"), ("DELETE", "/whoami", "GET"),
     ("OPTIONS", CHAT, "POST")],
)  # fmt: skip
def test_another_method_is_not_allowed(gateway: Gateway, send: Any, method: str, path: str, allowed: str) -> None:
    got = send(gateway, path, method=method, token=None)
    assert (got.status, got.headers["Allow"], got.raw) == (405, allowed, b"Method not allowed")


def problem(field: str, message: str, kind: str) -> dict[str, str]:
    return {"field": field, "message": message, "type": kind}


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({"messages": []}, [problem("model", "Field required", "missing")]),
        ({"model": "", "messages": []},
         [problem("model", "String should have at least 1 character", "string_too_short")]),
        ({"model": 7, "messages": []}, [problem("model", "Input should be a valid string", "string_type")]),
        ({"model": None, "messages": []}, [problem("model", "Input should be a valid string", "string_type")]),
        ({**GOOD, "stream": "yes"}, [problem("stream", "Input should be a valid boolean", "bool_type")]),
        ({**GOOD, "stream": 1}, [problem("stream", "Input should be a valid boolean", "bool_type")]),
        ({"model": "m", "messages": {}}, [problem("messages", "Input should be a valid list", "list_type")]),
        ({"model": "m", "messages": None}, [problem("messages", "Input should be a valid list", "list_type")]),
        ({"model": "m", "messages": [{}, 3]},
         [problem("messages.1", "Input should be a valid dictionary", "dict_type")]),
    ],
)  # fmt: skip
def test_a_mistyped_field_is_named(gateway: Gateway, send: Any, body: Any, problems: Any) -> None:
    got = send(gateway, CHAT, body)
    assert (got.status, got.code, got.message) == (422, "invalid_request", "Invalid FIRST control fields.")
    assert got.json["error"]["info"] == {"errors": problems}


def test_reserved_fields_are_refused_at_the_top_only(gateway: Gateway, send: Any) -> None:
    got = send(gateway, CHAT, {**GOOD, "cache_salt": 1, "api_port": 2, "messages": "wrong too"})
    assert got.json["error"]["info"] == {"fields": ["api_port", "cache_salt"]}
    assert send(gateway, CHAT, {**GOOD, "extra": {"api_port": 2}}).status == 200


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe\xfa", b"{'model': 1}", b"[" * 100_000])
def test_what_is_no_json_cannot_be_parsed(gateway: Gateway, send: Any, raw: bytes) -> None:
    got = send(gateway, CHAT, raw)
    assert (got.status, got.json) == (400, {"detail": "Cannot parse request body"})


@pytest.mark.parametrize("raw", [b"[]", b"3", b"true", b'[{"model": "m", "messages": []}]'])
def test_what_is_no_object_is_refused(gateway: Gateway, send: Any, raw: bytes) -> None:
    got = send(gateway, CHAT, raw)
    expected = {"type": "dict_type", "loc": ["body", "payload"], "msg": "Input should be a valid dictionary"}
    assert (got.status, got.json) == (422, {"detail": [expected]})


def test_no_message_at_all_is_fine(gateway: Gateway, send: Any) -> None:
    assert send(gateway, CHAT, {"model": "gpt-oss-120b", "messages": []}).status == 200


@pytest.mark.parametrize("name", ["GPT-OSS-120B", " gpt-oss-120b ", "gpt oss 120b", "gpt-oss- 120b", "gpt-oss-120b/"])
def test_case_spaces_and_slashes_of_a_model_do_not_matter(gateway: Gateway, send: Any, name: str) -> None:
    got = send(gateway, CHAT, {"model": name, "messages": MESSAGES})
    assert (got.status, got.json["model"]) == (200, "gpt-oss-120b")


def test_the_size_of_a_body(gateway: Gateway, send: Any) -> None:
    size = 2_621_440
    whole = json.dumps({**GOOD, "pad": ""}).encode()
    padded = whole[:-2] + b"x" * (size - len(whole)) + b'"}'
    assert len(padded) == size
    assert send(gateway, CHAT, padded).status == 200
    got = send(gateway, CHAT, padded + b" ")
    assert (got.status, got.code, got.message) == (500, "internal_error", "Internal Server Error")
    assert set(got.json["error"]) == {"code", "message", "error_id"}


def test_a_huge_body_stops_at_the_proxy(gateway: Gateway, send: Any) -> None:
    length = {"Content-Length": str(21 * 1024 * 1024)}
    got = send(gateway, CHAT, b"", token=None, headers=length)
    assert (got.status, got.headers["Content-Type"]) == (413, "text/html")
    assert b"<title>413 Request Entity Too Large</title>" in got.raw


def test_an_endpoint_that_metis_has_not(gateway: Gateway, send: Any) -> None:
    body = {"model": "gpt-oss-120b", "messages": MESSAGES, "prompt": "x", "input": "x"}
    for route in ("completions", "embeddings", "responses", "messages"):
        got = send(gateway, f"/metis/api/v1/{route}", body)
        assert (got.status, got.code) == (400, "unsupported_endpoint")
        assert got.message == f"'{route}' not available on cluster 'metis'"
    missing = send(gateway, "/metis/api/v1/completions", GOOD)
    assert missing.json["error"]["info"]["errors"] == [problem("prompt", "Field required", "missing")]


def test_there_are_no_batches(gateway: Gateway, send: Any) -> None:
    assert send(gateway, "/v1/batches").json == []
    assert send(gateway, "/v1/batches/7").code == "batch_not_found"
    got = send(gateway, "/metis/api/v1/batches", {"model": "gpt-oss-120b", "input_file": "x.jsonl"})
    assert (got.status, got.code) == (400, "batch_unavailable")
    got = send(gateway, "/metis/api/v1/batches", {"model": "gpt-oss-120b"})
    assert got.json == {"detail": [{"type": "missing", "loc": ["body", "batch_data", "input_file"],
                                    "msg": "Field required"}]}  # fmt: skip


def test_checks_come_in_order(gateway: Gateway, send: Any) -> None:
    bad_body, bad_place = {"model": 1}, "/mars/vllm/v1/completions"
    assert send(gateway, bad_place, bad_body, token="unknown").status == 401
    assert send(gateway, bad_place, bad_body).status == 422
    assert send(gateway, bad_place, {"model": "nope", "prompt": "x"}).code == "cluster_not_found"
    gateway.set_maintenance("Back at noon.")
    got = send(gateway, "/metis/vllm/v1/completions", {"model": "nope", "prompt": "x"})
    assert (got.status, got.code, got.message) == (503, "cluster_under_maintenance", "Back at noon.")
    gateway.set_maintenance(None)
    got = send(gateway, "/metis/vllm/v1/completions", {"model": "nope", "prompt": "x"})
    assert (got.code, got.message) == ("unsupported_framework", "framework vllm not available on cluster metis.")
    assert send(gateway, "/metis/api/v1/completions", {"model": "nope", "prompt": "x"}).code == "unsupported_endpoint"
    assert send(gateway, CHAT, {"model": "nope", "messages": []}).code == "endpoint_not_found"


def test_a_session_header_is_checked_first(gateway: Gateway, send: Any) -> None:
    for value in ("x" * 129, "two words"):
        got = send(gateway, "/whoami", token=None, headers={"X-ALCF-Session-ID": value})
        assert (got.status, got.headers["Content-Type"]) == (400, "application/json")
        assert got.json == {"detail": "X-ALCF-Session-ID must contain at most 128 visible ASCII bytes"}
    assert send(gateway, "/whoami", headers={"X-ALCF-Session-ID": "x" * 128}).status == 200


def test_no_answer_says_when_to_come_again(gateway: Gateway, send: Any) -> None:
    gateway.fail_next("429_requests")
    got = send(gateway)
    assert got.status == 429
    assert not [name for name in got.headers if name.lower().startswith(("retry", "x-"))]
