"""What expressions see: parameters, earlier steps, the item, and the state of what a step waits for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metis_flow.plan.items import Item
from metis_flow.workflow.definition import StepDef
from metis_flow.workflow.rows import FileRows, Rows
from metis_flow.workflow.values import FileRef


@dataclass(frozen=True)
class Result:
    """How one instance ended.

    Attributes:
        status: ``done``, ``failed`` or ``skipped``.
        output: None unless done.
        error: ``{kind, summary, where, hint, detail}`` where it failed.
        messages: the conversation of a chat, its answer last; None unless done, and where nothing reads it.
    """

    item: Item
    status: str
    output: Any = None
    error: Mapping[str, Any] | None = None
    messages: Sequence[Mapping[str, Any]] | None = None

    def as_row(self) -> dict[str, Any]:
        """The row of ``steps.x.results``."""
        row = {"key": self.item.key, "status": self.status, "output": self.output, "error": self.error}
        return row if self.messages is None else Row(row, self.messages)

    def at_index(self, index: int) -> Result:
        """The same, of the item with this index."""
        return replace(self, item=replace(self.item, index=index))


class Row(dict[str, Any]):
    """A row of results that also knows ``messages``, where it is asked for them.

    They are no part of the row as a value: what takes rows whole does not get all that was said.
    """

    def __init__(self, row: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(row)
        self._messages = messages

    def __missing__(self, name: str) -> Any:
        if name == "messages":
            return self._messages
        raise KeyError(name)


def result_of(entry: Mapping[str, Any], *, messages: bool) -> Result:
    """How an instance ended, from the entry that says so; of the item only its key.

    Args:
        messages: whether the conversation that led to it is asked for.
    """
    item, status = Item(0, entry["key"]), entry["e"]
    if status == "skipped":
        return Result(item, status)
    output = from_journal(entry.get("output"), entry.get("kind", "json"))
    said = conversation_of(entry) if messages and status == "done" else None
    return Result(item, status, output, entry.get("error"), said)


def conversation_of(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The conversation that led to a result, its answer last; empty for what came from no model."""
    if "messages" in entry:
        return list(entry["messages"])
    call = entry.get("call")
    return [] if call is None else [*call["messages"], {"role": "assistant", "content": call["text"]}]


def step_view(step: StepDef, status: str, results: Iterable[Result], error: Mapping[str, Any] | None) -> dict[str, Any]:
    """``steps.<name>``: outputs and results of a fan-out, or the output of one instance."""
    if step.is_fan_out:
        ordered = sorted(results, key=lambda result: result.item.index)
        return {
            "status": status,
            "error": error,
            "outputs": [result.output for result in ordered if result.status == "done"],
            "results": [result.as_row() for result in ordered],
        }
    only = next(iter(results), None)
    view = {
        "status": status,
        "error": only.error if only is not None else error,
        "output": only.output if only is not None else None,
    }
    return view if only is None or only.messages is None else view | {"messages": list(only.messages)}


def instance_scope(base: Mapping[str, Any], step: StepDef, item: Item) -> dict[str, Any]:
    """The scope of one instance."""
    scope = dict(base)
    if step.foreach is not None:
        scope[step.item] = item.value
    if step.is_fan_out:
        scope.update(item.names)
        scope["key"] = item.key
    return scope


def round_scope(scope: Mapping[str, Any], number: int, previous: Any) -> dict[str, Any]:
    """The scope of one round of a step with ``until``: its number from 0, and the output before it (null at first)."""
    return {**scope, "round": number, "previous": previous}


def status_functions(*, upstream_failed: bool) -> dict[str, Any]:
    """``success()``, ``failure()`` and ``always()``, about everything that the step waits for."""
    return {
        "success": lambda: not upstream_failed,
        "failure": lambda: upstream_failed,
        "always": lambda: True,
    }


def plain(value: Any) -> Any:
    """JSON for a function, a file or a script: file references and paths become their paths, ranges and rows lists."""
    if isinstance(value, FileRef):
        return value.path
    if isinstance(value, Rows):
        return list(value.plain())
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(part) for part in value]
    return value


def plain_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a function as JSON; one that is rows stays so, and whoever calls the function reads them."""
    return {name: value.plain() if isinstance(value, Rows) else plain(value) for name, value in arguments.items()}


def to_journal(value: Any) -> Any:
    """An output as the journal writes it: references to files as objects."""
    if isinstance(value, FileRef | FileRows):
        return value.as_dict()
    return (
        [part.as_dict() for part in value]
        if isinstance(value, list) and value and isinstance(value[0], FileRef)
        else value
    )


def from_journal(value: Any, kind: str) -> Any:
    """An output as it was, from the journal."""
    if kind == "rows":
        return FileRows.of(value)
    if kind == "file":
        return FileRef(value["path"], value["sha256"], value["bytes"])
    return [FileRef(part["path"], part["sha256"], part["bytes"]) for part in value] if kind == "files" else value
