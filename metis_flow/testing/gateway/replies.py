"""What a rule answers, and the chat completion that is made from it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from metis_flow.testing.gateway.faults import check_fault


@dataclass(frozen=True)
class Reply:
    """One answer of the upstream.

    Args:
        content: the text, or None.
        reasoning: text for `reasoning_content`.
        finish_reason: why it ended.
        usage: {prompt_tokens, completion_tokens, total_tokens}; counted from the characters when None.
        latency: real seconds that it takes; None for the gateway's.
        model: the name that the upstream calls itself.
        fault: what goes wrong with it: one of `metis_flow.testing.gateway.faults.FAULTS`, or ``upstream_N``.
        body: the whole document, instead of all that.
    """

    content: str | None = ""
    reasoning: str | None = None
    finish_reason: str | None = "stop"
    usage: Mapping[str, Any] | None = None
    latency: float | None = None
    model: str | None = None
    fault: str | None = None
    body: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.fault is not None:
            object.__setattr__(self, "fault", check_fault(self.fault))

    @classmethod
    def of(cls, answer: Any) -> Reply:
        """What a rule returned, as a reply.

        A string is the content; an object with `choices` the whole document; any other JSON the content, as JSON.

        Raises:
            TypeError: it is none of these.
        """
        if isinstance(answer, Reply):
            return answer
        if isinstance(answer, str):
            return cls(content=answer)
        if isinstance(answer, Mapping) and "choices" in answer:
            return cls(body=answer)
        if isinstance(answer, Mapping | list):
            return cls(content=json.dumps(answer))
        raise TypeError(f"a rule returns a str, dict, list or Reply, not {type(answer).__name__}")


def default_rule(body: dict[str, Any], n: int) -> Reply:
    """Repeats the beginning of the last message, the same for the same request."""
    text = _text_of(body["messages"][-1]) if body["messages"] else ""
    return Reply(content=f"You said: {text[:400]}")


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return ""


def count_usage(body: Mapping[str, Any], reply: Reply) -> dict[str, int]:
    """Tokens of a request and its reply, at four characters each and four more a message."""
    prompt = 3 + sum(4 + (len(_text_of(message)) + 3) // 4 for message in body["messages"])
    written = len(reply.content or "") + len(reply.reasoning or "")
    completion = max(1, (written + 3) // 4)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def completion(body: Mapping[str, Any], reply: Reply, number: int, model: str) -> dict[str, Any]:
    """The document of a reply.

    Args:
        body: the request.
        reply: what was answered.
        number: of the answer; its id is made of it.
        model: the model's name, where the reply gives none.
    """
    if reply.body is not None:
        return dict(reply.body)
    message: dict[str, Any] = {"role": "assistant", "content": reply.content}
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    return {
        "id": f"chatcmpl-{number:08d}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": reply.model or model,
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
        "usage": dict(reply.usage) if reply.usage is not None else count_usage(body, reply),
    }


def total_tokens(document: Any) -> int:
    """What a document is charged with: `usage.total_tokens`, or 0 where it has none."""
    usage = document.get("usage") if isinstance(document, Mapping) else None
    total = usage.get("total_tokens") if isinstance(usage, Mapping) else None
    return total if isinstance(total, int) and not isinstance(total, bool) else 0


def damaged(reply: Reply, fault: str | None) -> Reply:
    """The reply with one of the faults that an answer itself can have; others leave it as it is."""
    text = reply.content or ""
    if fault == "null_content":
        return replace(reply, content=None)
    if fault == "empty_content":
        return replace(reply, content="")
    if fault == "reasoning":
        return replace(reply, content=None, reasoning=reply.reasoning or text)
    if fault == "think":
        return replace(reply, content=f"<think>\nLet me see.\n</think>\n\n{text}")
    if fault == "markup":
        call = "<|start|>assistant<|channel|>commentary to=functions.answer <|constrain|>json<|message|>"
        return replace(reply, content=f"{call}{text[: len(text) // 2]}")
    if fault == "length":
        return replace(reply, content=text[: len(text) // 2], finish_reason="length")
    return reply
