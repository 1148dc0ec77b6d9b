"""A call and its answer as plain data."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from metis_flow.record.usage import Usage

__all__ = ["Answer", "ChatRequest", "Usage", "split_reasoning"]

_THINKING = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)


@dataclass(frozen=True)
class ChatRequest:
    """One chat completion to ask for.

    Args:
        model: the model's exact id.
        messages: the conversation, in OpenAI's form (``{"role": …, "content": …}``).
        settings: ``temperature``, ``max_tokens``, ``seed``, ``top_p``, ``stop`` and whatever else the server knows.
    """

    model: str
    messages: list[dict[str, Any]]
    settings: dict[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """What is sent."""
        return {**self.settings, "model": self.model, "messages": self.messages}


@dataclass(frozen=True)
class Answer:
    """What came back.

    Args:
        text: the answer, without reasoning.
        reasoning: what the model thought aloud, where it did.
        finish_reason: why it ended (``stop``); None where the server does not tell.
        model: the name by which the server calls the model.
        usage: tokens.
        seconds: from sending to the whole answer.
    """

    text: str
    reasoning: str | None
    finish_reason: str | None
    model: str
    usage: Usage
    seconds: float


def split_reasoning(text: str) -> tuple[str | None, str]:
    """Reasoning and answer of a text that begins with ``<think>…</think>``.

    Some servers leave out the opening tag, which their template wrote into the prompt; and a text that never closes
    the tag is reasoning through and through.

    >>> split_reasoning("<think>2+2</think>\\n4")
    ('2+2', '4')
    """
    match = _THINKING.match(text)
    if match:
        return match[1].strip() or None, text[match.end() :]
    start = text.lstrip()
    if start.startswith("<think>"):
        return start[len("<think>") :].strip() or None, ""
    before, closing, after = text.partition("</think>")
    if closing and "<think>" not in before:
        return before.strip() or None, after.lstrip()
    return None, text
