"""The app of an instance whose task asks a model: the driver puts its questions, each answer durable on its own.

A task that asks is a generator (`metis_flow.tasks.asking`). Its own code runs on the driver's event loop; what it asks
goes through the same limiter, journal and cache as a chat step's calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from metis_flow.engine.chat import Ending, durable, said_in
from metis_flow.engine.entries import Journal
from metis_flow.engine.outcome import Outcome
from metis_flow.engine.reuse import Found
from metis_flow.engine.validate import check_schema
from metis_flow.errors import Cancelled, MetisFlowError, TaskFailed
from metis_flow.inference.answers import ChatRequest
from metis_flow.inference.client import Inference
from metis_flow.inference.structured import Ask, Exchange, ask
from metis_flow.plan.content import Contents
from metis_flow.record.usage import Usage
from metis_flow.tasks import Ask as Question
from metis_flow.tasks import Task, drive_async, to_json

Consult = Callable[[str], "Future[Found | None]"]
"""Looks for the answer to a question of this instance, by the digest of its content key; None where it is to be asked.

The future fails with `Withdrawn` where nothing may be asked any more.
"""


@dataclass(frozen=True)
class AskingTask:
    """One instance of a task that asks. It stays in the driver's process.

    Attributes:
        label: ``step@key``, for messages.
        arguments: of the task, JSON.
        model, settings: who is asked, and how; a question may have settings of its own.
        schema: of the step's ``output``, where it has one.
        entry: what its entries in the journal have in common.
        timeout: seconds for each call, from sending on.
    """

    label: str
    task: Task[..., Any]
    arguments: dict[str, Any]
    model: str
    settings: Mapping[str, Any]
    schema: dict[str, Any] | None
    repair: int
    entry: dict[str, Any]
    timeout: float | None
    consult: Consult = field(repr=False)
    inference: Inference = field(repr=False)
    journal: Journal = field(repr=False)
    ending: Ending = field(default_factory=Ending, repr=False)


async def run_asking(task: AskingTask) -> Outcome:
    """Drive the task of one instance to its end."""
    began = time.time()
    questions = _Questions(task)
    value, error = None, None
    task.ending.begin()
    try:
        if task.ending.asked:
            raise asyncio.CancelledError
        value = to_json(await drive_async(task.task.func(**task.arguments), questions.answer))
        check_schema(value, task.task.returns)
        check_schema(value, task.schema)
    except MetisFlowError as failure:
        error = failure
        error.where = error.where or task.label
    except asyncio.CancelledError:
        if not task.ending.asked:
            raise
        error = Cancelled("it was taken back", where=task.label)
    except Exception as failure:
        hint = f"it was raised in the task '{task.task.name}'"
        error = TaskFailed(f"{type(failure).__name__}: {failure}"[:500], where=task.label, hint=hint)
    ended, calls, usage = time.time(), questions.calls, questions.usage
    return Outcome(value=None if error else value, error=error, began=began, ended=ended, calls=calls, usage=usage)


class _Questions:
    """What the task has asked so far."""

    def __init__(self, task: AskingTask) -> None:
        self.calls = 0
        self.usage = Usage()
        self._task = task
        self._contents = Contents()

    async def answer(self, question: Question) -> Any:
        """The answer to one question: one that is there already, or the model's."""
        task = self._task
        settings = {**task.settings, **question.settings}
        if isinstance(settings.get("seed"), int):
            settings["seed"] += question.repeat
        parts = {
            "prompt": question.messages,
            "model": task.model,
            "settings": settings,
            "schema": question.schema,
            "repeat": question.repeat,
        }
        key = self._contents.key(parts)
        found = await asyncio.wrap_future(task.consult(key.digest))
        if found is not None:
            return found.entry["output"]
        began = time.time()
        request = ChatRequest(task.model, question.messages, settings)

        async def keep(exchange: Exchange) -> None:
            self.calls, self.usage = self.calls + 1, self.usage + exchange.answer.usage
            call, entry = said_in(exchange, request), {**task.entry, "ck": key.digest, "parts": dict(key.parts)}
            if exchange.problem is None:
                times = {"t0": began, "t1": time.time()}
                answer = {"e": "answer", **entry, **times, "output": exchange.output, "kind": "json", "call": call}
                await durable(task.journal, answer)
            else:
                ids = {name: entry[name] for name in ("step", "key", "attempt")}
                await durable(task.journal, {"e": "call", **ids, **call, "problem": exchange.problem})

        asked = Ask(request, question.schema, task.repair, None, task.timeout)
        return (await ask(task.inference, asked, keep)).output
