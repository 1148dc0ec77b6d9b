"""From the body of a 200 to an answer, or to the name of what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metis_flow.inference.answers import Answer, ChatRequest, Usage, split_reasoning
from metis_flow.inference.errors import (
    BadAnswer,
    CutStream,
    ErrorAsAnswer,
    Filtered,
    LeakedMarkup,
    LengthStop,
    NoChoices,
    NoContent,
    NotJson,
)

if TYPE_CHECKING:
    from metis_flow.inference.transport import Reply

ERROR_CHUNK = "chatcmpl-api-error"
SHOWN = 300  # characters of a bad answer that an error repeats

_MARKUP = re.compile(r"<\|(?:channel|start|message|call|constrain|return)\|>")


def read_document(content: bytes, content_type: str) -> dict[str, Any]:
    """The JSON object of a 200, whole or pieced together from a stream.

    Raises:
        NotJson: it is something else, such as a page of HTML.
        CutStream, ErrorAsAnswer: a stream that failed after its 200.
    """
    if content_type.startswith("text/event-stream"):
        return _piece_together(content.decode("utf-8", errors="replace"))
    document = _loads(content)
    if not isinstance(document, dict):
        raise not_json(content)
    return document


def read_json(reply: Reply) -> Any:
    """The JSON of a 200 that is no chat completion.

    Raises:
        NotJson: it is something else.
    """
    document = _loads(reply.content)
    if document is None:
        raise not_json(reply.content)
    return document


def not_json(content: bytes) -> NotJson:
    """The error of a body that is not what was asked for."""
    return NotJson(
        "the answer's body is not the JSON that was asked for",
        hint="if this stays so, check 'base_url' in the endpoint's file",
        detail=content[:SHOWN].decode("utf-8", errors="replace") or "(nothing)",
    )


def _loads(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def read_answer(document: Mapping[str, Any], request: ChatRequest, seconds: float) -> Answer:
    """The answer in a chat completion.

    Raises:
        BadAnswer: it holds none that can be used; the error carries what there is, where that was paid for.
    """
    choices = document.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise NoChoices("the answer holds no choice", detail=_shown(document))
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    content = message.get("content")
    text = content if isinstance(content, str) else _joined(content)
    if document.get("id") == ERROR_CHUNK:
        raise ErrorAsAnswer("the gateway sent an error as if it were the answer", detail=text.strip()[:SHOWN])
    inside, text = split_reasoning(text)
    reasoning = message.get("reasoning_content") or message.get("reasoning") or inside
    finish = choice.get("finish_reason")
    answer = Answer(
        text=text,
        reasoning=reasoning if isinstance(reasoning, str) else None,
        finish_reason=finish if isinstance(finish, str) else None,
        model=str(document.get("model") or request.model),
        usage=read_usage(document.get("usage")),
        seconds=seconds,
    )
    problem = _problem(answer, request)
    if problem is not None:
        problem.answer = answer
        raise problem
    return answer


def read_usage(data: Any) -> Usage:
    """Tokens that the server told; what is not a number counts as nothing."""
    known = data if isinstance(data, dict) else {}
    return Usage.of({name: value for name, value in known.items() if isinstance(value, int)})


def _problem(answer: Answer, request: ChatRequest) -> BadAnswer | None:
    """What keeps an answer from being one."""
    if answer.finish_reason == "length":
        return LengthStop(
            f"the answer was cut short after {answer.usage.completion_tokens} tokens",
            hint="raise max_tokens, or ask for a shorter answer",
            detail=_end(answer),
        )
    if answer.finish_reason == "content_filter":
        return Filtered("the server's content filter held the answer back", hint="reword the prompt")
    if _MARKUP.search(answer.text) and not _MARKUP.search(json.dumps(request.messages, ensure_ascii=False)):
        return LeakedMarkup(
            "the model's own channel markup stands in the answer",
            hint="reword the prompt, or try another temperature; the model began to call a function",
            detail=answer.text[:SHOWN],
        )
    if not answer.text.strip():
        tools = answer.finish_reason in ("tool_calls", "function_call")
        return NoContent(
            "the model called a function instead of answering" if tools else "the model gave no answer text",
            hint="tool calling is not used here: leave out 'tools'"
            if tools
            else "raise max_tokens, or reword the prompt",
            detail=_end(answer),
        )
    return None


def _end(answer: Answer) -> str | None:
    """How the text, or the reasoning where there is no text, ends."""
    text, word = (answer.text, "answer") if answer.text.strip() else (answer.reasoning or "", "reasoning")
    return f"the {word} ends: …{text.strip()[-SHOWN:]}" if text.strip() else None


def _joined(content: Any) -> str:
    """The text of content that comes in parts."""
    if not isinstance(content, list):
        return ""
    return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))


def _shown(document: Mapping[str, Any]) -> str:
    return json.dumps(document, default=str)[:SHOWN]


def _piece_together(text: str) -> dict[str, Any]:
    """One chat completion from the chunks of a stream."""
    chunks = [chunk for chunk in map(_chunk, text.splitlines()) if chunk is not None]
    pieces: dict[str, list[str]] = {"content": [], "reasoning_content": []}
    finish: str | None = None
    whole: dict[str, Any] = {}
    for chunk in chunks:
        if chunk.get("id") == ERROR_CHUNK or "error" in chunk:
            raise ErrorAsAnswer(
                "the gateway sent an error in the middle of a stream",
                hint="leave out 'stream: true': nothing here needs it",
                detail=_error_text(chunk),
            )
        whole = {**chunk, "usage": chunk.get("usage") or whole.get("usage")}
        for choice in _first(chunk.get("choices")):
            finish = choice.get("finish_reason") or finish
            for name, found in pieces.items():
                found.append((choice.get("delta") or {}).get(name) or "")
    if finish is None:
        raise CutStream(
            "the stream ended before the answer did",
            hint="leave out 'stream: true': nothing here needs it",
            detail="".join(pieces["content"])[-SHOWN:] or None,
        )
    message = {name: "".join(found) or None for name, found in pieces.items()}
    return {**whole, "choices": [{"index": 0, "finish_reason": finish, "message": message}]}


def _chunk(line: str) -> dict[str, Any] | None:
    """The object of one line of a stream, where it holds one."""
    if not line.startswith("data:"):
        return None
    try:
        chunk = json.loads(line[len("data:") :])
    except ValueError:
        return None
    return chunk if isinstance(chunk, dict) else None


def _first(choices: Any) -> Sequence[dict[str, Any]]:
    return [choice for choice in choices[:1] if isinstance(choice, dict)] if isinstance(choices, list) else []


def _error_text(chunk: Mapping[str, Any]) -> str:
    error = chunk.get("error")
    if isinstance(error, dict):
        return str(error.get("message") or error)[:SHOWN]
    return "".join(str((choice.get("delta") or {}).get("content") or "") for choice in _first(chunk.get("choices")))[
        :SHOWN
    ].strip()
