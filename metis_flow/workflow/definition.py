"""A workflow as it was written, checked and with its expressions compiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from metis_flow.workflow.expressions import StepRef, Template
from metis_flow.workflow.functions import STATUS_FUNCTIONS
from metis_flow.workflow.models import Limits, Param
from metis_flow.workflow.outputs import OutputSpec
from metis_flow.workflow.source import Document
from metis_flow.workflow.trees import Value, templates

Verb = Literal["chat", "run", "python", "uses"]


@dataclass(frozen=True)
class ChatDef:
    """A chat step.

    Attributes:
        messages: role and content of each message, in order.
        model: the model's name, or None for the endpoint's default.
        settings: temperature and the like, those of the workflow with the step's own over them.
    """

    messages: tuple[tuple[str, Value], ...]
    model: Value | None
    settings: Mapping[str, Value]


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


@dataclass(frozen=True)
class CallDef:
    """A python or uses step: the function, and its keyword arguments."""

    target: str
    arguments: Value


@dataclass(frozen=True)
class StepDef:
    """One step.

    Attributes:
        item: the name that an item has in expressions.
        needs: steps to wait for, besides those that are referred to.
        min_success: least share of successes where failures are allowed (``continues``).
        timeout: seconds.
    """

    name: str
    verb: Verb
    body: ChatDef | ShellDef | CallDef
    foreach: Value | None = None
    item: str = "item"
    key: Template | None = None
    condition: Template | None = None
    needs: tuple[str, ...] = ()
    output: OutputSpec = field(default_factory=lambda: OutputSpec("result"))
    check: Template | None = None
    repair: int = 0
    continues: bool = False
    min_success: float = 0.0
    timeout: float | None = None

    @property
    def is_fan_out(self) -> bool:
        """Whether it has an instance for each item."""
        return self.foreach is not None

    @cached_property
    def upstream(self) -> StepRef | None:
        """The step field that it follows item by item, where ``foreach`` is a lone ``.outputs`` or ``.results``."""
        direct = self.foreach.direct if isinstance(self.foreach, Template) else None
        return direct if direct is not None and direct.field in ("outputs", "results") else None

    @cached_property
    def condition_is_per_item(self) -> bool:
        """Whether ``if`` is asked for each instance: it uses the item, or asks how the instance above it ended."""
        if self.condition is None or not self.is_fan_out:
            return False
        of_item = {self.item, "key"} | (STATUS_FUNCTIONS if self.upstream is not None else frozenset())
        return bool(self.condition.names & of_item)

    @cached_property
    def condition_minds_failures(self) -> bool:
        """Whether ``if`` itself says what to do about failures above it."""
        if self.condition is None:
            return False
        if self.condition.names & {"failure", "always"}:
            return True
        if any(ref.field == "status" for ref in self.condition.refs):
            return True
        # a row of results has a status of its own; in an output the word is a field like any other
        follows_results = self.upstream is not None and self.upstream.field == "results"
        return follows_results and f"{self.item}.status" in self.condition.paths

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every dotted name that its instances read (those of ``foreach`` left out)."""
        found = (template.paths for value in self._values(foreach=False) for template in templates(value))
        return frozenset(path for paths in found for path in paths)

    @cached_property
    def refs(self) -> frozenset[StepRef]:
        """Every field of another step that it refers to."""
        return frozenset(ref for value in self._values() for template in templates(value) for ref in template.refs)

    @cached_property
    def instance_refs(self) -> frozenset[StepRef]:
        """The references whose values an instance needs in its scope (those of ``foreach`` left out)."""
        return frozenset(
            ref for value in self._values(foreach=False) for template in templates(value) for ref in template.refs
        )

    def _values(self, *, foreach: bool = True) -> Iterator[Value]:
        if foreach and self.foreach is not None:
            yield self.foreach
        for single in (self.key, self.condition, self.check):
            if single is not None:
                yield single
        body = self.body
        if isinstance(body, ChatDef):
            yield from (content for _, content in body.messages)
            yield from body.settings.values()
            if body.model is not None:
                yield body.model
        elif isinstance(body, ShellDef):
            yield from body.env.values()
            yield from body.args
            if body.stdin is not None:
                yield body.stdin
            for file in body.files:
                yield from (part for part in (file.link, file.content) if part is not None)
        else:
            yield body.arguments


@dataclass(frozen=True)
class WorkflowDef:
    """A whole workflow.

    Attributes:
        path: the file.
        folder: what relative paths are relative to.
        included: other files that it took text from, by their path relative to the folder.
    """

    path: Path
    name: str
    description: str | None
    params: Mapping[str, Param]
    endpoint: str | None
    limits: Limits
    steps: Mapping[str, StepDef]
    outputs: Mapping[str, Value]
    document: Document
    included: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """The folder of the file."""
        return self.path.absolute().parent

    def to_dict(self) -> dict[str, Any]:
        """The data of the file, as it was read."""
        return dict(self.document.data)
