"""What a refusal says, taken out of its body.

Five shapes of body occur: ``{"error": {"code", "message", "info"}}``, ``{"detail": "text"}``,
``{"detail": [{"type", "loc", "msg"}]}``, ``{"error": "text", "message", "retry_after"}`` and HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SHOWN = 300  # characters of a message that an error repeats


@dataclass(frozen=True)
class Refusal:
    """A status and what its body says.

    Args:
        status: HTTP status.
        code: the gateway's or the server's own code, "" where there is none.
        message: what the body says, as text.
        info: what more it says.
        model: the model that was asked for, for the error's words.
        sent: bytes of the request's body.
        remedy: what the user does when a token is refused for good.
        after: seconds that a Retry-After header asks to wait.
        html: whether the body is a page.
    """

    status: int
    code: str
    message: str
    info: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    sent: int = 0
    remedy: str = ""
    after: float | None = None
    html: bool = False


def read_refusal(status: int, body: str, **facts: Any) -> Refusal:
    """Take a body apart, whatever its shape; ``facts`` are the further fields of `Refusal`."""
    text = body.strip()
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        page = text[:1] == "<"
        return Refusal(status, "", _page_title(text) if page else text[:SHOWN], html=page, **facts)
    if not isinstance(document, dict):
        return Refusal(status, "", text[:SHOWN], **facts)
    error = document.get("error")
    if isinstance(error, dict):
        info = error.get("info")
        return Refusal(
            status,
            str(error.get("code") or error.get("type") or ""),
            str(error.get("message") or ""),
            info if isinstance(info, dict) else {},
            **facts,
        )
    if isinstance(error, str):
        return Refusal(status, "", str(document.get("message") or error), **facts)
    detail = document.get("detail", document.get("message", ""))
    if isinstance(detail, list):
        return Refusal(status, "", "; ".join(map(_one_detail, detail)), **facts)
    return Refusal(status, "", str(detail or text[:SHOWN]), **facts)


def _page_title(page: str) -> str:
    title = re.search(r"<title>(.*?)</title>", page, re.IGNORECASE | re.DOTALL)
    return title[1].strip()[:SHOWN] if title else "(a page of HTML)"


def _one_detail(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    place = ".".join(str(part) for part in item.get("loc") or ())
    return f"{place}: {item.get('msg')} ({item.get('type')})"
