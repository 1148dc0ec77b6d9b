"""Answers as bytes, and the shapes that an error may have.

A ``{"error": {"code", "message", "info"}}``; the same with `error_id` in place of `info` for internal errors;
B ``{"detail": "text"}``; C ``{"detail": [{"type", "loc", "msg"}]}``; D ``{"error": "text", "message", "retry_after"}``;
E a page of HTML.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"

NOT_FOUND_PAGE = b"""
<!doctype html>
<html lang="en">
<head>
  <title>Not Found</title>
</head>
<body>
  <h1>Not Found</h1><p>The requested resource was not found on this server.</p>
</body>
</html>
"""


@dataclass(frozen=True)
class Answer:
    """A whole answer.

    Args:
        kind: what it is in the ledger.
        status: HTTP status.
        body: its bytes.
        content_type: of the body.
        headers: further ones.
    """

    kind: str
    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Refusal(Exception):
    """The request ends here, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.kind)
        self.answer = answer


class Cut(Exception):
    """The connection ends here, with no answer, or with the beginning of one."""

    def __init__(self, kind: str, beginning: bytes = b"") -> None:
        super().__init__(kind)
        self.kind = kind
        self.beginning = beginning


def document(kind: str, content: Any, status: int = 200) -> Answer:
    """A JSON document, written as the gateway does."""
    return Answer(kind, status, json.dumps(content).encode())


def coded(kind: str, status: int, code: str, message: str, info: dict[str, Any] | None = None) -> Refusal:
    """Shape A. A status that Python's http does not know becomes an internal error, as there."""
    try:
        HTTPStatus(status)
    except ValueError:
        return internal_error()
    return Refusal(document(kind, {"error": {"code": code, "message": message, "info": info or {}}}, status))


def internal_error(kind: str = "500_internal") -> Refusal:
    """Shape A with an `error_id`."""
    error = {"code": "internal_error", "message": "Internal Server Error", "error_id": uuid.uuid4().hex}
    return Refusal(document(kind, {"error": error}, 500))


def detail(kind: str, status: int, text: str, content_type: str = JSON) -> Refusal:
    """Shape B."""
    return Refusal(Answer(kind, status, json.dumps({"detail": text}).encode(), content_type))


def invalid(kind: str, problems: list[dict[str, Any]]) -> Refusal:
    """Shape C."""
    return Refusal(document(kind, {"detail": problems}, 422))


def address_rate() -> Refusal:
    """Shape D."""
    content = {
        "error": "Rate limit exceeded",
        "message": "Too many requests from this address",
        "retry_after": "1 second",
    }
    return Refusal(Answer("429_nginx", 429, json.dumps(content).encode(), "application/json"))


def proxy_page(kind: str, status: int) -> Answer:
    """Shape E, of the proxy in front."""
    title = f"{status} {_PROXY_PHRASES.get(status) or HTTPStatus(status).phrase}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Answer(kind, status, page.encode(), "text/html")


# The proxy's own words, where Python's differ with its version.
_PROXY_PHRASES = {413: "Request Entity Too Large", 504: "Gateway Time-out"}


def not_found() -> Refusal:
    """Shape E, of the framework: no such route."""
    return Refusal(Answer("404_route", 404, NOT_FOUND_PAGE, HTML))


def not_allowed(methods: str) -> Refusal:
    """The route exists, for other methods."""
    return Refusal(Answer("405", 405, b"Method not allowed", HTML, (("Allow", methods),)))


def endpoint_error(kind: str, status: int, message: str, info: dict[str, Any] | None = None) -> Refusal:
    """Shape A for all that goes wrong at or before the upstream."""
    return coded(kind, status, "internal_endpoint_error", message, info)
