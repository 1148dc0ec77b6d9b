"""What a report needs of each instance, read once from the journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from metis_flow.plan.graph import Graph
from metis_flow.record.folder import RunFolder
from metis_flow.record.state import read_instances
from metis_flow.views.instances import instance_as_json
from metis_flow.views.report.files import Kept, files_of, made_files
from metis_flow.views.report.texts import Texts
from metis_flow.views.safe_text import safe
from metis_flow.views.values import short

RESULT_WIDTH = 160
SAID_WIDTH = 1500
KEY_WIDTH = 200
_LONG = ("call", "tries", "parts", "output")

FAILED_FIRST, TRIED_AGAIN, LONE, OTHERS = range(4)
"""Whose full texts are kept first, where not all have room."""


@dataclass(frozen=True)
class Row:
    """One instance, as the table and the timeline show it.

    Attributes:
        status: ``done``, ``cached``, ``failed`` or ``skipped``.
        began, ended: unix seconds; None where nothing ran in this run.
        busy: seconds in calls that were answered.
        result: the beginning of the output, the error, or the reason, on one line.
        text: the number of its full text in `Gathered.texts`.
        key: as the user's data has it, made harmless and cut; the address may hold a short form of it.
    """

    step: str
    address: str
    index: int
    status: str
    began: float | None
    ended: float | None
    busy: float
    attempt: int
    calls: int
    tokens: int
    model: str | None
    result: str
    text: int
    key: str | None = None


@dataclass(frozen=True)
class CallPoint:
    """One answered call: when the answer came, how long it took, what it cost."""

    ended: float
    seconds: float
    model: str
    prompt_tokens: int
    completion_tokens: int


@dataclass
class Gathered:
    """All that one pass over the journal gave.

    Attributes:
        troubles: the failed and skipped entries without their calls, for `find_failures`.
        said: the last answer of each failed chat instance, by address, cut.
        files: what steps made, in the order of the journal.
    """

    rows: list[Row] = field(default_factory=list)
    calls: list[CallPoint] = field(default_factory=list)
    troubles: list[dict[str, Any]] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    files: list[Kept] = field(default_factory=list)
    texts: Texts = field(default_factory=Texts)


def gather(folder: RunFolder, *, texts: bool = True) -> Gathered:
    """Read every instance of a run.

    Args:
        texts: whether full texts are kept too.

    Raises:
        RecordError: the record is damaged.
    """
    found = Gathered()
    for entry in read_instances(folder):
        instance = detail_of(folder, entry)
        number = found.texts.add(instance, _rank(instance)) if texts else -1
        found.rows.append(_row(entry, instance, number))
        found.calls.extend(_points(entry))
        if entry["e"] in ("failed", "skipped"):
            found.troubles.append({name: part for name, part in entry.items() if name not in _LONG})
        if entry["e"] == "failed" and instance["calls"]:
            found.said[instance["address"]] = str(instance["calls"][-1]["text"])[:SAID_WIDTH]
        found.files.extend(made_files(folder, entry))
    return found


def detail_of(folder: RunFolder, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Everything about one instance, every text in it made harmless: see `safe`."""
    instance = instance_as_json(folder, entry)
    instance["began"] = entry.get("t0")
    instance["files"] = files_of(folder, entry.get("folder"))
    harmless: dict[str, Any] = harmless_tree(instance)
    return harmless


def harmless_tree(value: Any) -> Any:
    """A JSON value with every text in it, names included, made harmless; what a browser cannot count is text."""
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, Mapping):
        return {safe(name): harmless_tree(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [harmless_tree(part) for part in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return str(value)
    return value


def ready_times(rows: Iterable[Row], graph: Graph | None, started: float) -> Iterator[float]:
    """When each instance could have begun: all that it waits for had ended; never after it did begin."""
    rows = list(rows)
    ends: dict[tuple[str, int], float] = {}
    step_ends: dict[str, float] = {}
    for row in rows:
        if row.ended is not None:
            ends[row.step, row.index] = row.ended
            step_ends[row.step] = max(step_ends.get(row.step, row.ended), row.ended)
    edges = {name: graph.into(name) for name in graph.order} if graph is not None else {}
    for row in rows:
        if row.began is None:
            yield started
            continue
        ready = started if graph is not None else row.began
        for edge in edges.get(row.step, []):
            source = ends.get((edge.source, row.index)) if edge.kind == "item" else step_ends.get(edge.source)
            ready = max(ready, source or started)
        yield min(ready, row.began)


def _row(entry: Mapping[str, Any], instance: Mapping[str, Any], number: int) -> Row:
    calls = instance["calls"]
    cached = bool(entry.get("cached"))
    ran = "t0" in entry and not cached
    return Row(
        step=instance["step"],
        address=instance["address"],
        index=entry.get("index") or 0,
        status="cached" if cached else instance["status"],
        began=entry["t0"] if ran else None,
        ended=entry["t1"] if ran else None,
        busy=sum(call.get("seconds") or 0.0 for call in calls),
        attempt=instance["attempt"] or 0,
        calls=0 if cached else len(calls),
        tokens=0 if cached else sum((call.get("usage") or {}).get("total_tokens") or 0 for call in calls),
        model=calls[-1]["model"] if calls else None,
        result=_result(instance),
        text=number,
        key=None if instance["key"] is None else short(instance["key"], KEY_WIDTH),
    )


def _result(instance: Mapping[str, Any]) -> str:
    if instance["status"] == "done":
        return short(instance["output"], RESULT_WIDTH)
    if instance["error"] is not None:
        return short(instance["error"]["summary"], RESULT_WIDTH)
    return short(instance["reason"] or "", RESULT_WIDTH)


def _rank(instance: Mapping[str, Any]) -> int:
    if instance["status"] == "failed":
        return FAILED_FIRST
    if len(instance["calls"]) > 1 or instance["tries"]:
        return TRIED_AGAIN
    return LONE if instance["key"] is None else OTHERS


def _points(entry: Mapping[str, Any]) -> Iterator[CallPoint]:
    own = [(entry.get("t1") or entry["t"], entry["call"])] if entry.get("call") and not entry.get("cached") else []
    earlier = [(part["t"], part) for part in entry.get("tries", []) if part["e"] == "call"]
    for ended, call in [*earlier, *own]:
        usage = call.get("usage") or {}
        prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
        yield CallPoint(ended, call.get("seconds") or 0.0, safe(call["model"]), prompt, completion)
