"""401 in all its meanings."""

from __future__ import annotations

from typing import Any

import pytest

from metis_flow.testing import Gateway, Person

ACTIVE = "Token is either not active or invalid"


def test_no_header(send: Any) -> None:
    with Gateway() as gateway:
        for headers in ({}, {"Authorization": ""}):
            got = send(gateway, token=None, headers=headers)
            text = "Error: Missing ('Authorization': 'Bearer <your-access-token>') in request headers."
            assert (got.status, got.json) == (401, {"detail": text})


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("bearer {}", "Something went wrong while reading headers. Authorization type should be Bearer."),
        ("Basic {}", "Something went wrong while reading headers. Authorization type should be Bearer."),
        ("Bearer", "Auth only allows header type Authorization: Bearer <token>."),
        ("{}", "Auth only allows header type Authorization: Bearer <token>."),
        ("Bearer {} more", "Auth only allows header type Authorization: Bearer <token>."),
    ],
)
def test_a_header_of_another_form(send: Any, header: str, message: str) -> None:
    with Gateway() as gateway:
        got = send(gateway, token=None, headers={"Authorization": header.format(gateway.token)})
        assert (got.status, got.code, got.message) == (401, "unauthorized", message)


def test_extra_spaces_do_no_harm(send: Any) -> None:
    with Gateway() as gateway:
        assert send(gateway, token=None, headers={"Authorization": f"Bearer   {gateway.token}"}).status == 200


def test_an_unknown_token_is_remembered_for_a_minute(send: Any) -> None:
    with Gateway(speed=200, limits=None) as gateway:
        assert send(gateway, "/whoami", token="x").message == ACTIVE
        assert send(gateway, "/metis/jobs", token="x").message == f"Token introspection: {ACTIVE}"
        gateway.issue_token(value="x")
        assert send(gateway, "/whoami", token="x").status == 200
        assert send(gateway, "/whoami", token="y").message == ACTIVE
        while send(gateway, "/whoami", token="y").message != ACTIVE:
            pass
        assert gateway.counts.kinds["401_inactive"] >= 3


def test_a_token_dies(send: Any) -> None:
    with Gateway(limits=None) as gateway:
        assert send(gateway).status == 200
        assert gateway.expire_tokens() == 1
        assert send(gateway).message == ACTIVE
        assert send(gateway, token=gateway.issue_token(lifetime=-1)).message == ACTIVE
        assert send(gateway, token=gateway.issue_token()).status == 200


def test_globus_is_down(send: Any) -> None:
    with Gateway(limits=None) as gateway:
        gateway.set_globus(introspection="down")
        text = "Could not introspect token with Globus /v2/oauth2/token/introspect. "
        assert send(gateway).message.startswith(text)
        gateway.set_globus(introspection="up")
        assert send(gateway).message.startswith(f"Token introspection: {text}")
        assert send(gateway, token=gateway.issue_token()).status == 200
        gateway.reset()
        assert send(gateway).status == 200


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        ("expired", "Access token expired."),
        ("domain", "Currently authenticated as Eve (eve@gmail.com)."),
        ("policy", "high-assurance timeout"),
        ("group", "User (Eve - eve@gmail.com) not part of the Globus Groups applied for Google."),
        ("service_group", "Error: User is not a member of an allowed Globus Group."),
        ("dependent", "Could not recover dependent access token"),
        ("introspection", "Could not introspect token with Globus"),
        ("inactive", ACTIVE),
    ],
)
def test_a_token_with_a_problem(send: Any, problem: str, text: str) -> None:
    eve = Person(id="e", name="Eve", username="eve@gmail.com", idp_name="Google")
    with Gateway() as gateway:
        got = send(gateway, token=gateway.issue_token(problem=problem, person=eve))
        assert (got.status, got.code) == (401, "unauthorized")
        assert text in got.message


def test_an_unknown_problem_of_a_test_is_an_error() -> None:
    with Gateway() as gateway, pytest.raises(ValueError, match="no problem of a token is called 'ill'; known: inact"):
        gateway.issue_token(problem="ill")
