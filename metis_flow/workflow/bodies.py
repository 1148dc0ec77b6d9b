"""What a step does, compiled: a chat, a script, a call of a function, or another workflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metis_flow.errors import ExpressionFailed
from metis_flow.workflow import params
from metis_flow.workflow.conversation import evaluate_messages
from metis_flow.workflow.rows import Rows
from metis_flow.workflow.trees import MapOf, Value, reads_only
from metis_flow.workflow.values import FileRef, PathParam

if TYPE_CHECKING:
    from pathlib import Path

    from metis_flow.workflow.definition import WorkflowDef


@dataclass(frozen=True)
class ChatDef:
    """A chat step.

    Attributes:
        messages: role and content of each message, in order; where the role is ``conversation`` the content is a
            whole list of messages, such as those of an earlier step.
        model: the model's name, or None for the endpoint's default.
        settings: temperature and the like, those of the workflow with the step's own over them.
    """

    messages: tuple[tuple[str, Value], ...]
    model: Value | None
    settings: Mapping[str, Value]

    def conversation(self, scope: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Role and content of every message, in order.

        Raises:
            ExpressionFailed: a message cannot be evaluated, or what should be a conversation is none.
        """
        return evaluate_messages(self.messages, scope)

    def values(self) -> Iterator[Value]:
        """Everything in it that may hold expressions."""
        yield from (content for _, content in self.messages)
        yield from self.settings.values()
        if self.model is not None:
            yield self.model


@dataclass(frozen=True)
class FileDef:
    """A file to lay in a step's folder: a link to a source, or content.

    Attributes:
        name: its path inside the folder.
        link: the source beside the workflow, where it is ``{from: PATH}``.
        content: the text, the value to write as JSON, or an expression for either or for a file reference.
    """

    name: str
    link: Value | None = None
    content: Value | None = None


@dataclass(frozen=True)
class ShellDef:
    """A run step: the script, and what it is given."""

    script: str
    env: Mapping[str, Value]
    args: tuple[Value, ...]
    stdin: Value | None
    files: tuple[FileDef, ...]
    secrets: tuple[str, ...]

    def values(self) -> Iterator[Value]:
        """Everything in it that may hold expressions."""
        yield from self.env.values()
        yield from self.args
        if self.stdin is not None:
            yield self.stdin
        for file in self.files:
            yield from (part for part in (file.link, file.content) if part is not None)


@dataclass(frozen=True)
class CallDef:
    """A python or uses step: the function, and its keyword arguments.

    Attributes:
        model, settings: who is asked, and how, where it is a task that asks a model; as in `ChatDef`.
    """

    target: str
    arguments: Value
    model: Value | None = None
    settings: Mapping[str, Value] = field(default_factory=dict)

    def values(self) -> Iterator[Value]:
        """Everything in it that may hold expressions."""
        yield self.arguments
        yield from self.settings.values()
        if self.model is not None:
            yield self.model


@dataclass(frozen=True)
class WorkflowCallDef:
    """A workflow step: another workflow, and its parameters.

    Attributes:
        target: the file, as the step names it.
        child: the workflow in it, checked.
        folder: the folder of the workflow that the step stands in.
    """

    target: str
    arguments: Value
    child: WorkflowDef
    folder: Path

    def values(self) -> Iterator[Value]:
        """Everything in it that may hold expressions."""
        yield self.arguments

    def bind(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """The value of every parameter of the child.

        A null stands for the parameter's default. A path is one that the user wrote, a file of ``glob``, or a file
        reference, which becomes its path.

        Raises:
            ExpressionFailed: an expression fails, or a text from a run should become a path.
            ParameterError: a value does not fit its parameter.
        """
        given: dict[str, Any] = {}
        for name, value in self.arguments.evaluate(scope).items():
            spec = self.child.params[name]
            if value is None and "default" in spec.model_fields_set:
                continue
            if spec.type == "path" and not self._is_trusted(name, value):
                hint = "hand on a file (a step with 'output: {path: FILE}'), or a parameter"
                summary = f"'{name}' is a path, and what a model or a data file said never becomes one"
                raise ExpressionFailed(summary, hint=hint)
            listed = list(value) if isinstance(value, range | Rows) else value
            plain = value.path if isinstance(value, FileRef) else listed
            given[name] = params.convert(name, spec, plain, self.folder, typed=True)
        return params.bind(self.child.params, given, self.child.folder)

    def _is_trusted(self, name: str, value: Any) -> bool:
        """Whether a value may become a path."""
        written = dict(self.arguments.items) if isinstance(self.arguments, MapOf) else {}
        return isinstance(value, FileRef | PathParam) or name not in written or reads_only(written[name], {"params"})


Body = ChatDef | ShellDef | CallDef | WorkflowCallDef
