"""A workflow run against answers that a test gives: by a rule, or as an earlier run recorded them.

The whole engine runs, with real HTTP to a gateway in this process; only the answers are made up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from metis_flow.testing.gateway.replies import Reply
from metis_flow.testing.gateway.server import Gateway
from metis_flow.testing.gateway.shapes import coded
from metis_flow.testing.recorded_answers import Recorded

if TYPE_CHECKING:
    from metis_flow.api import Run, Workflow

SHOWN = 300  # characters of a prompt that an error repeats
NAME = "given"


@dataclass(frozen=True)
class Asked:
    """One chat completion, as it was sent.

    Attributes:
        messages: the whole conversation.
        model: the model's name.
        settings: temperature, max_tokens and the like.
        schema: JSON Schema that the answer must fit; None where any text will do.
        n: its number, from 0, in the order of arrival.
        answer: what was answered; None while the rule is asked.
    """

    messages: list[dict[str, Any]]
    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    schema: dict[str, Any] | None = None
    n: int = 0
    answer: Any = None

    @property
    def user(self) -> str:
        """The last message."""
        return str(self.messages[-1]["content"]) if self.messages else ""

    @property
    def system(self) -> str | None:
        """The system text, where there is one."""
        first = self.messages[0] if self.messages else {}
        return str(first["content"]) if first.get("role") == "system" else None


Rule = Callable[[Asked], Any]


class NoAnswer(AssertionError):
    """A prompt was sent that the rule, or the record, has no answer for."""


class Answers:
    """Who answers the chat steps of a workflow under test, for the length of a ``with`` block.

    Attributes:
        endpoint: the endpoint, for ``--endpoint`` and ``Workflow.run(endpoint=…)``.
        calls: what was asked so far, in the order of arrival, with the answers.
    """

    def __init__(self, rule: Rule | Mapping[str, Any]) -> None:
        self._rule: Rule = _by_parts(rule) if isinstance(rule, Mapping) else rule
        self._gateway = Gateway(self._answer, limits=None, any_model=True)
        self._folder = tempfile.TemporaryDirectory(prefix="metis-flow-answers-")
        self._problem: Exception | None = None
        self.endpoint = ""
        self.calls: list[Asked] = []

    def __enter__(self) -> Answers:
        self._gateway.__enter__()
        in_prompt = isinstance(self._rule, Recorded) and self._rule.schema_in_prompt
        supports = {"response_format": "no" if in_prompt else "yes"}
        path = self._gateway.write_endpoint(
            self._folder.name, NAME, gateway=None, model=NAME, supports=supports, limits={}
        )
        self.endpoint = str(path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gateway.__exit__(kind, error, trace)
        self._folder.cleanup()
        if error is None:
            self.check()

    def run(self, workflow: str | Path | Workflow, params: Mapping[str, Any] | None = None, **options: Any) -> Run:
        """Run a workflow to its end, without a cache. The record is removed at the end of the block.

        Args:
            workflow: a file, or a loaded workflow.
            params: values of parameters.
            options: more of `Workflow.run`, such as ``site``; ``runs_dir`` keeps the record there.

        Raises:
            NoAnswer: it sent a prompt that there is no answer for.
            Exception: whatever the rule raised.
        """
        from metis_flow.api import Workflow

        loaded = workflow if isinstance(workflow, Workflow) else Workflow.load(workflow)
        ours: dict[str, Any] = {"runs_dir": Path(self._folder.name, "runs"), "endpoint": self.endpoint, "cache": False}
        made = loaded.run(params, **{**ours, **options})
        self.check()
        return made

    def check(self) -> None:
        """See that everything that was asked had an answer.

        Raises:
            NoAnswer: something had none.
            Exception: what the rule raised first.
        """
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem

    def _answer(self, body: dict[str, Any], n: int) -> Reply:
        asked = _asked(body, n)
        try:
            found = self._rule(asked)
            if found is None:
                raise NoAnswer(_unanswered(asked, self._rule))
            reply = Reply.of(found)
        except Exception as problem:
            self._problem = self._problem or problem
            # A refusal that is not tried again: the run ends, and the test hears what was wrong.
            raise coded("no_answer", 400, "no_answer", f"{type(problem).__name__}: {problem}"[:2000]) from problem
        self.calls.append(replace(asked, answer=reply.content if isinstance(found, Reply) else found))
        return reply


def answers(rule: Rule | Mapping[str, Any]) -> Answers:
    """Answer the chat steps of a workflow under test.

    Args:
        rule: a function from `Asked` to a text, or to an object or list, which is sent as JSON (or a `Reply`, for
            reasoning and faults; or None where it has no answer); or a mapping of parts of prompts to answers, of which
            the first counts that the last message holds; or what `recorded` gives.

    >>> with answers({"capital of France": "Paris"}) as model:
    ...     run = model.run("capitals.yaml", {"country": "France"})
    ...     assert run.outputs == {"capital": "Paris"}
    ...     assert [call.user for call in model.calls] == ["What is the capital of France?"]
    """
    return Answers(rule)


def _by_parts(parts: Mapping[str, Any]) -> Rule:
    def rule(asked: Asked) -> Any:
        return next((answer for part, answer in parts.items() if part in asked.user), None)

    return rule


def _asked(body: Mapping[str, Any], n: int) -> Asked:
    settings = {name: value for name, value in body.items() if name not in ("messages", "model", "stream")}
    wanted = settings.pop("response_format", None) or {}
    schema = (wanted.get("json_schema") or {}).get("schema")
    return Asked(list(body["messages"]), body["model"], settings, schema, n)


def _unanswered(asked: Asked, rule: Rule) -> str:
    lines = [f"nothing answers request {asked.n}:"]
    lines += [f"  {message['role']}: {str(message['content'])[:SHOWN]}" for message in asked.messages]
    return "\n".join([*lines, *(rule.nearest(asked.messages) if isinstance(rule, Recorded) else [])])
