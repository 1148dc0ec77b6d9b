"""A workflow as it was written, checked and with its expressions compiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from metis_flow.errors import WorkflowError
from metis_flow.workflow.bodies import Body
from metis_flow.workflow.bodies import CallDef as CallDef
from metis_flow.workflow.bodies import ChatDef as ChatDef
from metis_flow.workflow.bodies import FileDef as FileDef
from metis_flow.workflow.bodies import ShellDef as ShellDef
from metis_flow.workflow.bodies import WorkflowCallDef as WorkflowCallDef
from metis_flow.workflow.expressions import StepRef, Template
from metis_flow.workflow.functions import STATUS_FUNCTIONS
from metis_flow.workflow.models import RUN_ENDS, Limits, Param
from metis_flow.workflow.outputs import OutputSpec
from metis_flow.workflow.source import Document, Location
from metis_flow.workflow.trees import FilesOf, Value, templates

Verb = Literal["chat", "run", "python", "uses", "workflow"]


@dataclass(frozen=True)
class Retry:
    """How often a failed instance is tried.

    Attributes:
        attempts: most tries, the first one counted.
        wait: seconds before the next try.
        on: the failures after which there is one: kinds of errors (`metis_flow.errors.RETRY_KINDS`) and exit codes of
            a script; any where it is empty.
    """

    attempts: int = 1
    wait: float = 0.0
    on: frozenset[str | int] = frozenset()


@dataclass(frozen=True)
class Resources:
    """What one instance needs; None where the step does not say.

    Attributes:
        memory: bytes.
    """

    cores: int | None = None
    gpus: int | None = None
    nodes: int | None = None
    ranks_per_node: int | None = None
    memory: int | None = None

    @property
    def is_mpi(self) -> bool:
        """Whether it takes whole nodes, and starts its own ranks there."""
        return self.nodes is not None or self.ranks_per_node is not None


@dataclass(frozen=True)
class MatrixDef:
    """The axes of a matrix, with what is added to their combinations and left out of them.

    Attributes:
        axes: the values of each axis: a list, once it is evaluated.
        include: a list of objects, once it is evaluated; so is ``exclude``.
    """

    axes: tuple[tuple[str, Value], ...]
    include: Value | None = None
    exclude: Value | None = None

    def values(self) -> Iterator[Value]:
        """Everything in it that may hold expressions."""
        yield from (value for _, value in self.axes)
        yield from (value for value in (self.include, self.exclude) if value is not None)


@dataclass(frozen=True)
class StepDef:
    """One step.

    Attributes:
        item: the name that an item has in expressions.
        needs: steps to wait for, besides those that are referred to.
        min_success: least share of successes where failures are allowed (``continues``).
        timeout: seconds.
        cache: whether results of earlier runs are used; None for what the verb does by itself.
        executor: the name of an executor of the site, where the step names one.
        max_parallel: most instances at once, where the step says so.
        repeat: how many instances there are of each item or combination.
        asks: whether it is a task that asks a model; who plans it finds out.
        until: what must be true of the output; until then the instance runs again, ``max_rounds`` times at most.
    """

    name: str
    verb: Verb
    body: Body
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
    retry: Retry = Retry()
    cache: bool | None = None
    executor: str | None = None
    resources: Resources | None = None
    max_parallel: int | None = None
    matrix: MatrixDef | None = None
    repeat: Value | None = None
    until: Template | None = None
    max_rounds: int = 1
    asks: bool = False

    @property
    def asks_model(self) -> bool:
        """Whether its instances are answered by the endpoint, and run in the driver."""
        return self.verb == "chat" or self.asks

    @property
    def is_fan_out(self) -> bool:
        """Whether it has an instance for each item, combination or repeat."""
        return self.foreach is not None or self.matrix is not None or self.repeat is not None

    @cached_property
    def upstream(self) -> StepRef | None:
        """The step field that it follows item by item, where ``foreach`` is a lone ``.outputs`` or ``.results``."""
        direct = self.foreach.direct if isinstance(self.foreach, Template) else None
        return direct if direct is not None and direct.field in ("outputs", "results") else None

    @cached_property
    def spread(self) -> str | None:
        """What it has an instance for, in words for people; None where it has only one."""
        parts: list[str] = []
        if isinstance(self.foreach, Template):
            parts.append(self.foreach.source.strip().removeprefix("${{").removesuffix("}}").strip())
        elif isinstance(self.foreach, FilesOf):
            parts.append(f"the files {self.foreach.shown}")
        elif self.foreach is not None:
            parts.append("the values listed there")
        if self.matrix is not None:
            parts.append(f"the matrix of {', '.join(name for name, _ in self.matrix.axes) or 'include'}")
        if self.repeat is not None:
            parts.append("the repeats")
        return " by ".join(parts) or None

    def spreads(self) -> Iterator[Value]:
        """What it has an instance for: ``foreach``, the matrix and ``repeat``, as far as it has them."""
        yield from (value for value in (self.foreach, self.repeat) if value is not None)
        if self.matrix is not None:
            yield from self.matrix.values()

    @cached_property
    def condition_is_per_item(self) -> bool:
        """Whether ``if`` is asked for each instance: it uses the item, or asks how the instance above it ended."""
        if self.condition is None or not self.is_fan_out:
            return False
        own = {self.item, "key", "matrix", "repeat"}
        of_item = own | (STATUS_FUNCTIONS if self.upstream is not None else frozenset())
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
        return frozenset(path for template in self._templates(foreach=False) for path in template.paths)

    @cached_property
    def refs(self) -> frozenset[StepRef]:
        """Every field of another step that it refers to."""
        return frozenset(ref for template in self._templates() for ref in template.refs)

    @cached_property
    def instance_refs(self) -> frozenset[StepRef]:
        """The references whose values an instance needs in its scope (those of ``foreach`` left out)."""
        return frozenset(ref for template in self._templates(foreach=False) for ref in template.refs)

    @cached_property
    def reads_messages_of(self) -> frozenset[str]:
        """The steps whose conversations it may read: as ``steps.x.messages``, or in the rows of their results."""
        asks = any("messages" in template.source for template in self._templates())
        return frozenset(ref.step for ref in self.refs if ref.field == "messages" or (asks and ref.field == "results"))

    def _templates(self, *, foreach: bool = True) -> Iterator[Template]:
        for value in self._values(foreach=foreach):
            yield from templates(value)

    def _values(self, *, foreach: bool = True) -> Iterator[Value]:
        if foreach and self.foreach is not None:
            yield self.foreach
        if self.matrix is not None:
            yield from self.matrix.values()
        singles = (self.repeat, self.key, self.condition, self.check, self.until)
        yield from (single for single in singles if single is not None)
        yield from self.body.values()


@dataclass(frozen=True)
class Notify:
    """A command of the user's that tells how a run ended.

    Attributes:
        command: for a shell.
        on: the ends after which it is run.
    """

    command: str
    on: frozenset[str] = frozenset(RUN_ENDS)


@dataclass(frozen=True)
class WorkflowDef:
    """A whole workflow.

    Attributes:
        path: the file.
        folder: what relative paths are relative to.
        included: other files that it took text from, by their path relative to the folder.
        parts: for each step that stands in another file than the workflow's own, that file.
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
    parts: Mapping[str, Document] = field(default_factory=dict)
    notify: Notify | None = None

    @property
    def folder(self) -> Path:
        """The folder of the file."""
        return self.path.absolute().parent

    @property
    def children(self) -> Iterator[WorkflowDef]:
        """The workflows that its steps call."""
        return (step.body.child for step in self.steps.values() if isinstance(step.body, WorkflowCallDef))

    def mistake(self, summary: str, place: Location, *, hint: str | None = None, key: bool = False) -> WorkflowError:
        """A mistake at a place (``("steps", NAME, …)``), in the file where that stands."""
        return self._home_of(place).error(summary, place, hint=hint, key=key)

    def says(self, place: Location) -> bool:
        """Whether the user wrote something at a place."""
        return place in self._home_of(place).keys

    def _home_of(self, place: Location) -> Document:
        return self.parts.get(str(place[1]), self.document) if len(place) > 1 else self.document

    def to_dict(self) -> dict[str, Any]:
        """The data of the file, as it was read."""
        return dict(self.document.data)
