"""Answers of a wanted form: asked for, parsed, validated, and asked for again where they are wrong."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from metis_flow.errors import OutputInvalid
from metis_flow.inference.answers import Answer, ChatRequest
from metis_flow.inference.client import Inference
from metis_flow.inference.errors import CallFailed, InvalidRequest, Unsupported
from metis_flow.inference.json_answers import NotOneValue, parse_value, say, schema_error

SHOWN = 500  # characters of a wrong answer that an error repeats

# Complaints that no server which honours response_format lets happen. (Bounds and patterns many do not enforce.)
_STRUCTURE = frozenset({"type", "required", "additionalProperties", "enum", "const"})


@dataclass(frozen=True)
class Ask:
    """What is wanted.

    Args:
        request: the conversation and settings.
        schema: JSON Schema of the answer; None where any text will do.
        repair: how often a wrong answer is sent back with what is wrong about it.
        check: the user's own condition: None where the output is fine, else what is wrong.
        timeout: seconds for each sending; waiting for a turn does not count.
    """

    request: ChatRequest
    schema: dict[str, Any] | None = None
    repair: int = 0
    check: Callable[[Any], str | None] | None = None
    timeout: float | None = None


@dataclass(frozen=True)
class Exchange:
    """One question and its answer.

    Args:
        n: 0 for the first of an `Ask`, then 1, …
        messages: what was sent.
        answer: what came back.
        output: the parsed value, or the text where there is no schema; None where there is a problem.
        problem: what is wrong with the answer; None where it is the result.
    """

    n: int
    messages: list[dict[str, Any]]
    answer: Answer
    output: Any
    problem: str | None


Keep = Callable[[Exchange], Awaitable[None]]


async def ask(inference: Inference, ask: Ask, keep: Keep) -> Exchange:
    """Ask until an answer has the wanted form, or repairs are used up.

    Args:
        inference: the client.
        ask: what is wanted.
        keep: makes an exchange durable; awaited for every one, right or wrong, while its place is held. One whose
            answer is none (cut short, filtered) is kept once the place is free.

    Returns:
        The exchange whose `output` is the result.

    Raises:
        OutputInvalid: the last repair was wrong too.
        CallFailed, LoginRequired: as `Inference.call`.
    """
    dialogue = _Dialogue(inference, ask, keep)
    if ask.schema is None:
        return await dialogue.run(with_format=False)
    model = ask.request.model
    honoured = await _format_of(inference, model)
    if honoured is not None:
        return await dialogue.run(with_format=honoured)
    return await _probe(inference, dialogue, model)


class _Dialogue:
    """The exchanges of one `Ask`."""

    def __init__(self, inference: Inference, ask: Ask, keep: Keep) -> None:
        self.inference = inference
        self.ask = ask
        self.keep = keep
        self.count = 0

    async def run(self, *, with_format: bool) -> Exchange:
        """Ask, and repair."""
        messages = self.messages(with_format=with_format)
        exchange = await self.exchange(messages, with_format=with_format)
        return await self.repair(exchange, with_format=with_format)

    async def repair(self, exchange: Exchange, *, with_format: bool) -> Exchange:
        """Send a wrong answer back until it is right."""
        for _ in range(self.ask.repair):
            if exchange.problem is None:
                break
            said = {"role": "assistant", "content": exchange.answer.text}
            told = {"role": "user", "content": _repair_text(exchange.problem, wants_json=self.ask.schema is not None)}
            exchange = await self.exchange([*exchange.messages, said, told], with_format=with_format)
        if exchange.problem is not None:
            times = self.ask.repair
            repaired = f" after {times} repair{'s' if times > 1 else ''}" if times else ""
            raise OutputInvalid(
                f"the answer is not what 'output' or 'check' asks for{repaired}: {exchange.problem}",
                hint="say in the prompt what is wanted, allow more with 'repair', or loosen 'output'",
                detail=f"the answer begins: {exchange.answer.text[:SHOWN]}",
            )
        return exchange

    async def exchange(self, messages: list[dict[str, Any]], *, with_format: bool) -> Exchange:
        """One question, one answer, judged and kept."""
        settings = self.ask.request.settings
        if with_format and self.ask.schema is not None:
            settings = {**settings, "response_format": response_format(self.ask.schema)}
        request = replace(self.ask.request, messages=messages, settings=settings)
        n = self.count
        self.count += 1

        async def settle(answer: Answer) -> Exchange:
            output, problem = self.judge(answer)
            made = Exchange(n, messages, answer, output, problem)
            await self.keep(made)
            return made

        try:
            return await self.inference.call(request, settle, begun=n > 0, timeout=self.ask.timeout)
        except CallFailed as failure:
            if failure.answer is not None:  # it was paid for, and is of no use
                await self.keep(Exchange(n, messages, failure.answer, None, failure.summary))
            raise

    def messages(self, *, with_format: bool) -> list[dict[str, Any]]:
        """The conversation; where the server does not take the schema, with the schema after the system text."""
        messages = self.ask.request.messages
        if with_format or self.ask.schema is None:
            return messages
        wanted = schema_text(self.ask.schema)
        first = messages[0] if messages else {}
        if first.get("role") == "system" and isinstance(first.get("content"), str):
            return [{**first, "content": f"{first['content'].rstrip()}\n\n{wanted}"}, *messages[1:]]
        return [{"role": "system", "content": wanted}, *messages]

    def judge(self, answer: Answer) -> tuple[Any, str | None]:
        """The output of an answer, or what is wrong with it."""
        output: Any = answer.text
        if self.ask.schema is not None:
            try:
                output = parse_value(answer.text)
            except NotOneValue as error:
                return None, str(error)
            complaint = schema_error(output, self.ask.schema)
            if complaint is not None:
                return None, say(complaint)
        problem = self.ask.check(output) if self.ask.check is not None else None
        return (None, problem) if problem is not None else (output, None)


async def _format_of(inference: Inference, model: str) -> bool | None:
    """Whether a model's server honours response_format; None asks the caller to find out, and others wait."""
    supports = inference.endpoint.supports.response_format
    if supports != "probe":
        return supports == "yes"
    while True:
        known = inference.formats.get(model)
        if isinstance(known, bool):
            return known
        if known is None:
            inference.formats[model] = asyncio.get_running_loop().create_future()
            return None
        await asyncio.shield(known)


async def _probe(inference: Inference, dialogue: _Dialogue, model: str) -> Exchange:
    """The first call of a model tries response_format; a refusal, or an answer that takes no notice, falls back."""
    waiting = inference.formats[model]
    assert isinstance(waiting, asyncio.Future)
    honoured: bool | None = None
    reason = None
    try:
        exchange = await dialogue.exchange(dialogue.messages(with_format=True), with_format=True)
        honoured = not _took_no_notice(dialogue.ask, exchange)
        reason = exchange.problem
    except (InvalidRequest, Unsupported) as error:
        honoured, reason = False, error.detail or error.summary
    finally:
        if honoured is None:  # it failed for another reason: the next one finds out
            del inference.formats[model]
        else:
            inference.formats[model] = honoured
        waiting.set_result(None)
    if inference.on_note is not None:
        note = {"kind": "response_format", "model": model, "honoured": honoured}
        inference.on_note(note if honoured else {**note, "reason": reason})
    if honoured:
        return await dialogue.repair(exchange, with_format=True)
    return await dialogue.run(with_format=False)


def _took_no_notice(ask: Ask, exchange: Exchange) -> bool:
    """Whether an answer shows that the server paid no heed to the schema."""
    if exchange.problem is None or ask.schema is None:
        return False
    try:
        complaint = schema_error(parse_value(exchange.answer.text), ask.schema)
    except NotOneValue:
        return True
    return complaint is not None and complaint.validator in _STRUCTURE


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """The request field that asks for a schema."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", str(schema.get("title") or "answer"))[:64]
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}


def schema_text(schema: dict[str, Any]) -> str:
    """The words that ask for a schema."""
    return (
        "Answer with one JSON value and nothing else: no explanation, no code fence. It must be valid against this "
        f"JSON Schema:\n{json.dumps(schema, ensure_ascii=False)}"
    )


def _repair_text(problem: str, *, wants_json: bool) -> str:
    form = (
        " Give the whole corrected JSON value and nothing else." if wants_json else " Give the whole corrected answer."
    )
    return f"That answer is wrong: {problem}.{form}"
