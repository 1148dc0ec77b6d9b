"""Server-sent events: a reply in pieces, and the ways in which a stream fails."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from metis_flow.testing.gateway.replies import Reply, count_usage

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse

DONE = b"data: [DONE]\n\n"
PIECES = 4
#: Faults that only a stream has, or has in its own way; with how many pieces before it breaks.
STREAM_FAULTS = {"sse_error": 2, "no_done": 2, "dropped": 2, "stalled": 2, "cut_mid": 2}


def event(content: Mapping[str, Any]) -> bytes:
    """One event."""
    return f"data: {json.dumps(content)}\n\n".encode()


def chunks(body: Mapping[str, Any], reply: Reply, number: int, model: str) -> list[bytes]:
    """The events of a whole reply, without the last ``[DONE]``."""
    head = {
        "id": f"chatcmpl-{number:08d}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": reply.model or model,
    }
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas.extend({"reasoning_content": piece} for piece in _pieces(reply.reasoning))
    deltas.extend({"content": piece} for piece in _pieces(reply.content))
    events = [_chunk(head, delta, None) for delta in deltas]
    events.append(_chunk(head, {}, reply.finish_reason))
    options = body.get("stream_options")
    if isinstance(options, Mapping) and options.get("include_usage"):
        usage = dict(reply.usage) if reply.usage is not None else count_usage(body, reply)
        events.append(event({**head, "choices": [], "usage": usage}))
    return events


def _chunk(head: Mapping[str, Any], delta: Mapping[str, Any], finish_reason: str | None) -> bytes:
    return event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})


def _pieces(text: str | None) -> list[str]:
    if not text:
        return []
    size = -(-len(text) // PIECES)
    return [text[i : i + size] for i in range(0, len(text), size)]


def failure(model: str, text: str) -> bytes:
    """How the gateway tells a stream of a failure: as an ordinary piece of text, then the end."""
    content = {
        "id": "chatcmpl-api-error",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": f"\n\n[ERROR] {text}"},
                "finish_reason": "stop",
            }
        ],
    }
    return event(content) + DONE


def server_error() -> bytes:
    """How some servers tell of a failure within a stream."""
    return event({"error": {"message": "simulated mid-stream", "type": "server_error", "code": 500}}) + DONE


async def send(request: BaseRequest, parts: AsyncIterator[bytes]) -> StreamResponse:
    """Send events as they come."""
    from aiohttp.web import StreamResponse

    response = StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    async for part in parts:
        await response.write(part)
    await response.write_eof()
    return response
