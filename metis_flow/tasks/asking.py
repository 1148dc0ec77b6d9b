"""Tasks that ask a model: a generator yields its questions, and whoever drives it sends the answers back.

Such a task never talks to a server. It is as self-contained as any other, can be tested with answers written by hand,
and gives the same questions for the same answers, so that a run that stopped goes on with the answers it has. The
engine drives it where the token, the limiter and the journal are.

>>> def better(text: str) -> Asking[str]:
...     drafts = yield [Ask.of(f"Improve: {text}", repeat=number) for number in range(2)]  # both at once
...     best = yield Ask.of("Choose one:\\n" + "\\n".join(drafts))
...     return best.strip()
>>> drive(better("a b"), lambda ask: ask.messages[-1]["content"].splitlines()[-1])
'Improve: a b'
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from metis_flow.errors import TaskFailed

R = TypeVar("R")


@dataclass(frozen=True)
class Ask:
    """One question to the model of the step.

    Args:
        messages: the conversation, in OpenAI's form (``{"role": …, "content": …}``).
        schema: JSON Schema of the answer, which is then the parsed and validated value; without it the text.
        settings: settings of this question alone, such as ``max_tokens``; they come over those of the step.
        repeat: which of several equal questions it is, from 0: each gets an answer of its own (with a seed, ``seed``
            plus this).
    """

    messages: list[dict[str, Any]]
    schema: dict[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    repeat: int = 0

    @classmethod
    def of(cls, user: str, system: str | None = None, **fields: Any) -> Ask:
        """A question of one user's message, and a system text before it where there is one."""
        before = [] if system is None else [{"role": "system", "content": system}]
        return cls([*before, {"role": "user", "content": user}], **fields)


Asking = Generator[Ask | list[Ask], Any, R]
"""What a task that asks is annotated to return: ``-> Asking[str]`` for one whose result is a text.

``yield ask`` gives its answer; ``yield [ask, …]`` sends all at once and gives the list of their answers, in order.
"""


@dataclass(frozen=True)
class _Turn:
    """Where a generator stands: what it asks now, or what it returned."""

    asks: list[Ask]
    as_list: bool = False
    ended: bool = False
    result: Any = None


def drive(generator: Asking[R], answer: Callable[[Ask], Any]) -> R:
    """Run a task that asks to its end; questions are answered one after the other.

    Args:
        generator: what calling the task gave.
        answer: answers one question: with a value that its schema allows, or with a text.

    Returns:
        The task's result.

    Raises:
        TaskFailed: it yields what is no question.
        Exception: whatever the task or ``answer`` raises.
    """
    with closing(generator):
        turn = _first(generator)
        while not turn.ended:
            turn = _next(generator, turn, [answer(ask) for ask in turn.asks])
    return turn.result  # type: ignore[no-any-return]


async def drive_async(generator: Asking[R], answer: Callable[[Ask], Awaitable[Any]]) -> R:
    """As `drive`, with the questions of one ``yield`` answered at the same time.

    Where an answer fails, the others of its ``yield`` are waited for, so that what was paid for is kept; then the
    first failure is raised, and the task ends.
    """
    import asyncio  # not for those who only read tasks

    with closing(generator):
        turn = _first(generator)
        while not turn.ended:
            answers = await asyncio.gather(*(answer(ask) for ask in turn.asks), return_exceptions=True)
            for problem in answers:
                if isinstance(problem, BaseException):
                    raise problem
            turn = _next(generator, turn, list(answers))
    return turn.result  # type: ignore[no-any-return]


def _first(generator: Asking[Any]) -> _Turn:
    return _advance(lambda: next(generator))


def _next(generator: Asking[Any], turn: _Turn, answers: list[Any]) -> _Turn:
    return _advance(lambda: generator.send(answers if turn.as_list else answers[0]))


def _advance(step: Callable[[], Any]) -> _Turn:
    try:
        yielded = step()
    except StopIteration as end:
        return _Turn([], ended=True, result=end.value)
    asks = yielded if isinstance(yielded, list) else [yielded]
    for ask in asks:
        if not isinstance(ask, Ask):
            raise TaskFailed(
                f"the task yields {ask!r:.60}, which is no question",
                hint="yield Ask(…), or a list of them; what it gives back is returned",
            )
    return _Turn(asks, as_list=isinstance(yielded, list))
