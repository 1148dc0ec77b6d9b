"""What the gateway itself checks in a request: its size, its form, the few fields that it reads."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metis_flow.testing.gateway.shapes import coded, detail, internal_error, invalid

LARGEST_BODY = 2_621_440  # bytes; above it the framework gives up
LARGEST_UPLOAD = 20 * 1024 * 1024  # bytes; above it the proxy in front does

RESERVED = frozenset(
    {
        "api_port",
        "cache_salt",
        "openai_endpoint",
        "stream_task_id",
        "stream_task_token",
        "streaming_server_host",
        "streaming_server_port",
        "streaming_server_protocol",
    }
)

_Text = str | list[str] | list[int] | list[list[int]]


class _Fields(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    model: str = Field(min_length=1)
    stream: bool | None = False


class _Chat(_Fields):
    messages: list[dict[str, Any]]


class _Completions(_Fields):
    prompt: _Text


class _Embeddings(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    model: str = Field(min_length=1)
    stream: Literal[False] | None = False
    input: _Text


class _Responses(_Fields):
    input: str | list[dict[str, Any]]


class _Batch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    input_file: str = Field(min_length=1)
    model: str = Field(min_length=1)
    output_folder_path: str | None = None


_CHECKED: dict[str, type[BaseModel]] = {
    "chat/completions": _Chat,
    "completions": _Completions,
    "embeddings": _Embeddings,
    "responses": _Responses,
    "messages": _Chat,
}


def parse(raw: bytes, name: str = "payload") -> dict[str, Any]:
    """The object in a body.

    Args:
        raw: the body.
        name: what the gateway calls it in a complaint.

    Raises:
        Refusal: 500 for a body that is too large, 400 for one that is no JSON, 422 for one that is no object.
    """
    if len(raw) > LARGEST_BODY:
        raise internal_error("500_body")
    if not raw:
        raise invalid("422_body", [{"type": "missing", "loc": ["body", name], "msg": "Field required"}])
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise detail("400_body", 400, "Cannot parse request body") from None
    if not isinstance(body, dict):
        problem = {"type": "dict_type", "loc": ["body", name], "msg": "Input should be a valid dictionary"}
        raise invalid("422_body", [problem])
    return body


def check(route: str, body: dict[str, Any]) -> dict[str, Any]:
    """The body as it goes to the upstream: `stream` made a bool, all else untouched.

    Args:
        route: the last part of the address, as ``chat/completions``.
        body: what the client sent.

    Raises:
        Refusal: 422 for reserved or mistyped fields.
    """
    reserved = sorted(RESERVED.intersection(body))
    if reserved:
        text = "FIRST-reserved request fields are not accepted."
        raise coded("422_fields", 422, "invalid_request", text, {"fields": reserved})
    try:
        checked = _CHECKED[route].model_validate(body)
    except ValidationError as error:
        raise coded(
            "422_fields", 422, "invalid_request", "Invalid FIRST control fields.", {"errors": _problems(error)}
        ) from None
    return {**body, "stream": getattr(checked, "stream", None) is True}


def _problems(error: ValidationError) -> list[dict[str, str]]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{"field": ".".join(map(str, one["loc"])), "message": one["msg"], "type": one["type"]} for one in found]


def check_batch(raw: bytes) -> str:
    """The model of a request for a batch.

    Raises:
        Refusal: 400 or 422.
    """
    name = "batch_data"
    if raw and not isinstance(_loaded(raw), dict):
        problem = {
            "type": "model_attributes_type",
            "loc": ["body", name],
            "msg": "Input should be a valid dictionary or object to extract fields from",
        }
        raise invalid("422_body", [problem])
    body = parse(raw, name)
    try:
        return _Batch.model_validate(body).model
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        problems = [{**one, "loc": ["body", name, *one["loc"]]} for one in found]
        raise invalid("422_body", problems) from None


def _loaded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return {}  # `parse` complains of it
