"""Conversations: worked examples from a file, and earlier steps' messages that a chat goes on from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from metis_flow.errors import ExpressionFailed
from metis_flow.workflow.functions import describe
from metis_flow.workflow.trees import Value

CONVERSATION = "conversation"
"""Stands for the role where a value is a whole list of messages."""
MAX_EXAMPLES = 1000
ROLES = ("system", "user", "assistant")


class ExamplesMistake(ValueError):
    """What is wrong with a file of examples, and on which line (0 for the file)."""

    def __init__(self, summary: str, line: int) -> None:
        super().__init__(summary)
        self.summary, self.line = summary, line


def evaluate_messages(messages: Sequence[tuple[str, Value]], scope: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Role and content of every message, in order; a conversation gives several.

    A system message of the step's own stands for that of the conversation that it goes on from.

    Raises:
        ExpressionFailed: an expression fails, or what should be a conversation is none.
    """
    has_system = any(role == "system" for role, _ in messages)
    found: list[tuple[str, Any]] = []
    for role, value in messages:
        content = value.evaluate(scope)
        if role != CONVERSATION:
            found.append((role, content))
            continue
        found.extend(pair for pair in _conversation(content) if not (has_system and pair[0] == "system"))
    return found


def _conversation(value: Any) -> Iterator[tuple[str, Any]]:
    hint = "for instance '${{ steps.draft.messages }}'"
    if not isinstance(value, list):
        raise ExpressionFailed(f"a conversation is a list of messages, not {describe(value)}", hint=hint)
    for message in value:
        if not isinstance(message, Mapping) or message.get("role") not in ROLES or "content" not in message:
            summary = "a message of a conversation is {role, content}, with the role system, user or assistant"
            raise ExpressionFailed(summary, hint=hint)
        yield message["role"], message["content"]


def read_examples(text: str) -> list[tuple[str, str]]:
    """Role and content of the messages in a file: JSON Lines, or one JSON list.

    Each line holds ``{role, content}``, a pair ``{user, assistant}``, or ``{messages: […]}``.

    Raises:
        ExamplesMistake: it is something else.

    >>> read_examples('{"user": "2+2", "assistant": "4"}')
    [('user', '2+2'), ('assistant', '4')]
    """
    found = list(islice((pair for line, row in _rows(text) for pair in _messages(row, line)), MAX_EXAMPLES + 1))
    if not found:
        raise ExamplesMistake("it is empty", 0)
    if len(found) > MAX_EXAMPLES:
        raise ExamplesMistake(f"it holds more than {MAX_EXAMPLES:,} messages, and all of them go into each call", 0)
    return found


def _rows(text: str) -> Iterator[tuple[int, Any]]:
    if text.lstrip().startswith("["):
        try:
            yield from ((0, row) for row in json.loads(text))
        except (ValueError, RecursionError) as error:
            raise ExamplesMistake(f"it is not JSON: {error}", 0) from None
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                raise ExamplesMistake("it is not JSON", number) from None


def _messages(row: Any, line: int) -> Iterator[tuple[str, str]]:
    forms = "{role, content}, {user, assistant} or {messages: […]}"
    if isinstance(row, dict) and isinstance(row.get("messages"), list):
        for message in row["messages"]:
            if isinstance(message, dict) and "messages" in message:
                raise ExamplesMistake("'messages' stands inside 'messages'", line)
            yield from _messages(message, line)
        return
    if isinstance(row, dict) and set(row) == {"role", "content"}:
        pairs = [(row["role"], row["content"])]
    elif isinstance(row, dict) and set(row) == {"user", "assistant"}:
        pairs = list(row.items())
    else:
        raise ExamplesMistake(f"it should be {forms}", line)
    for role, content in pairs:
        if role not in ROLES or not isinstance(content, str):
            raise ExamplesMistake(f"a role is {', '.join(ROLES)}, and a content a text", line)
        yield role, content
