"""Instances of a step: a row each, or one of them with all that is known about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from metis_flow.record.folder import RunFolder
from metis_flow.record.usage import Usage
from metis_flow.units import format_count, format_duration, format_size
from metis_flow.views.safe_text import one_line, safe
from metis_flow.views.tables import Column, print_table
from metis_flow.views.values import lines_of, named, near, short

OUTPUT_WIDTH = 200

_COLUMNS = (
    Column("instance"),
    Column("status"),
    Column("time", right=True),
    Column("calls", right=True),
    Column("tokens", right=True),
    Column("output, or why not", gives_way=True),
)
_CALL_FIELDS = ("n", "model", "messages", "settings", "text", "reasoning", "finish", "usage", "seconds", "problem")


def instance_as_json(folder: RunFolder, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the record holds of an instance, from an entry of `read_instances`.

    ``calls`` are its chat completions in their order, ``tries`` the attempts that failed before.
    """
    earlier = entry.get("tries", [])
    calls = [*(attempt for attempt in earlier if attempt["e"] == "call"), *_own_call(entry)]
    return {
        "run": folder.id,
        "address": entry["address"],
        "step": entry["step"],
        "key": entry.get("key"),
        "status": entry["e"],
        "reason": entry.get("reason"),
        "attempt": entry.get("attempt"),
        "seconds": round(entry["t1"] - entry["t0"], 3) if "t0" in entry and "t1" in entry else None,
        "output": entry.get("output"),
        "error": entry.get("error"),
        "cached": entry.get("cached"),
        "calls": [{name: call[name] for name in _CALL_FIELDS if name in call} for call in calls],
        "tries": [_try(attempt) for attempt in earlier if attempt["e"] != "call"],
        "folder": str(folder.path / entry["folder"]) if entry.get("folder") else None,
    }


def print_instances(instances: Iterable[Mapping[str, Any]], out: TextIO) -> None:
    """A row for each instance, from `instance_as_json`."""
    print_table(_COLUMNS, (_row(instance) for instance in instances), out)


def print_instance(instance: Mapping[str, Any], out: TextIO) -> None:
    """Everything about one instance, from `instance_as_json`."""
    out.writelines(f"{line}\n" for line in _instance_lines(instance))


def _own_call(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry["call"]] if entry.get("call") else []


def _try(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"status": entry["e"], **{name: entry[name] for name in ("attempt", "error", "output") if name in entry}}


def _usage(instance: Mapping[str, Any]) -> Usage:
    return sum((Usage.of(call.get("usage")) for call in instance["calls"]), Usage())


def _row(instance: Mapping[str, Any]) -> tuple[object, ...]:
    seconds, calls = instance["seconds"], instance["calls"]
    return (
        instance["address"],
        instance["status"],
        None if seconds is None else format_duration(seconds),
        len(calls) or None,
        format_count(_usage(instance).total_tokens) if calls else None,
        _result(instance),
    )


def _result(instance: Mapping[str, Any]) -> str:
    if instance["status"] == "done":
        return short(instance["output"], OUTPUT_WIDTH)
    if instance["error"] is not None:
        return short(instance["error"]["summary"], OUTPUT_WIDTH)
    return short(instance["reason"] or "", OUTPUT_WIDTH)


def _instance_lines(instance: Mapping[str, Any]) -> Iterator[str]:
    yield f"instance: {one_line(instance['address'])}"
    if instance["key"] is not None:
        yield f"key:      {one_line(instance['key'])}"
    status = instance["status"] if instance["reason"] is None else f"{instance['status']} ({instance['reason']})"
    yield f"status:   {one_line(status)}"
    if instance["seconds"] is not None:
        yield f"time:     {format_duration(instance['seconds'])}, attempt {instance['attempt']}"
    if instance["cached"]:
        yield f"cached:   made by {one_line(instance['cached'].get('run'))}"
    if instance["calls"]:
        usage = _usage(instance)
        tokens = f"{format_count(usage.prompt_tokens)} tokens in, {format_count(usage.completion_tokens)} out"
        yield f"calls:    {len(instance['calls'])}, {tokens}"
    yield from _call_lines(instance["calls"])
    for earlier in instance["tries"]:
        yield ""
        yield f"attempt {earlier.get('attempt')} before: {one_line((earlier.get('error') or {}).get('summary'))}"
    yield from _ending_lines(instance)
    if instance["folder"] is not None:
        yield ""
        yield f"folder:   {near(instance['folder'])}"
        yield from _file_lines(Path(instance["folder"]))


def _call_lines(calls: list[Mapping[str, Any]]) -> Iterator[str]:
    """The conversation as it was last sent, what each call gave, and what was wrong with it."""
    if not calls:
        return
    last = calls[-1]
    yield f"model:    {one_line(last['model'])}"
    yield f"settings: {short(last.get('settings') or {})}"
    for message in last["messages"]:
        yield from _block(str(message["role"]), message["content"])
    for number, call in enumerate(calls, 1):
        title = "answer" if len(calls) == 1 else f"answer {number} of {len(calls)}"
        if call.get("reasoning"):
            yield from _block(f"{title}, the reasoning before it", call["reasoning"])
        yield from _block(f"{title} ({call.get('finish')}, {format_duration(call.get('seconds') or 0)})", call["text"])
        if call.get("problem"):
            yield f"  not valid: {one_line(call['problem'])}"


def _ending_lines(instance: Mapping[str, Any]) -> Iterator[str]:
    if instance["status"] == "done":
        yield ""
        yield from named("output", instance["output"])
    error = instance["error"]
    if error is not None:
        yield ""
        yield from error_lines(error)


def error_lines(error: Mapping[str, Any]) -> Iterator[str]:
    """An error of the journal: kind and summary, the detail, the hint."""
    yield f"error:    {one_line(error['summary'])} [{error['kind']}]"
    if error.get("detail"):
        yield from (f"    {line}" for line in safe(error["detail"]).splitlines())
    if error.get("hint"):
        yield f"  hint: {one_line(error['hint'])}"


def _block(title: str, value: Any) -> Iterator[str]:
    yield ""
    yield f"--- {one_line(title)}"
    yield from lines_of("" if value is None else value)


def _file_lines(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and not path.is_symlink():
            yield f"  {one_line(path.relative_to(folder))} ({format_size(path.stat().st_size)})"
