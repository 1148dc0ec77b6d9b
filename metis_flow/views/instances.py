"""Instances of a step: a row each, or one of them with all that is known about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from metis_flow.record.folder import RunFolder
from metis_flow.record.usage import Usage
from metis_flow.units import format_count, format_duration, format_size
from metis_flow.views.conversation import LONGEST_LINE, conversation_lines, shortened
from metis_flow.views.edges import edge_words
from metis_flow.views.safe_text import one_line, safe
from metis_flow.views.tables import Column, print_table
from metis_flow.views.values import named, near, short
from metis_flow.views.why import why_words

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
MOST_FILES = 50


def instance_as_json(folder: RunFolder, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the record holds of an instance, from an entry of `read_instances`.

    ``calls`` are its chat completions in their order, each with the number of the ``try`` it belongs to, from 1;
    ``tries`` the earlier ones, as they ended.
    """
    calls, tries = _calls_and_tries(entry)
    return {
        "run": folder.id,
        "address": entry["address"],
        "step": entry["step"],
        "key": entry.get("key"),
        "index": entry.get("index"),
        "status": entry["e"],
        "reason": entry.get("reason"),
        "attempt": entry.get("attempt"),
        "seconds": round(entry["t1"] - entry["t0"], 3) if "t0" in entry and "t1" in entry else None,
        "output": entry.get("output"),
        "error": entry.get("error"),
        "cached": entry.get("cached"),
        "calls": calls,
        "tries": tries,
        "folder": str(folder.path / entry["folder"]) if entry.get("folder") else None,
    }


def print_instances(instances: Iterable[Mapping[str, Any]], out: TextIO) -> None:
    """A row for each instance, from `instance_as_json`, in the order of the items."""
    rows = sorted(((instance["index"] or 0, _row(instance)) for instance in instances), key=lambda found: found[0])
    print_table(_COLUMNS, (row for _, row in rows), out)


def print_instance(instance: Mapping[str, Any], out: TextIO) -> None:
    """Everything about one instance, from `instance_as_json`.

    Args:
        instance: with ``from`` and ``to`` of `neighbours` and, as ``why``, what `why_it_ran` gives.
    """
    out.writelines(f"{line}\n" for line in _instance_lines(instance, cut=out.isatty()))


def _calls_and_tries(entry: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    calls: list[dict[str, Any]] = []
    tries: list[dict[str, Any]] = []
    for earlier in entry.get("tries", []):
        if earlier["e"] == "call":
            calls.append(_call(earlier, len(tries) + 1))
            continue
        if earlier.get("call"):
            calls.append(_call(earlier["call"], len(tries) + 1))
        shown = {name: earlier[name] for name in ("attempt", "error", "output") if name in earlier}
        tries.append({"status": earlier["e"], **shown})
    if entry.get("call"):
        calls.append(_call(entry["call"], len(tries) + 1))
    return calls, tries


def _call(call: Mapping[str, Any], number: int) -> dict[str, Any]:
    return {"try": number, **{name: call[name] for name in _CALL_FIELDS if name in call}}


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


def _instance_lines(instance: Mapping[str, Any], *, cut: bool) -> Iterator[str]:
    yield f"instance: {one_line(instance['address'])}"
    if instance["key"] is not None:
        yield f"key:      {one_line(instance['key'])}"
    status = instance["status"] if instance["reason"] is None else f"{instance['status']} ({instance['reason']})"
    yield f"status:   {one_line(status)}"
    if instance["seconds"] is not None:
        yield f"time:     {format_duration(instance['seconds'])}, attempt {instance['attempt']}"
    if instance.get("why") is not None:
        yield f"because:  {why_words(instance['why'])}"
    if instance["cached"]:
        run = one_line(instance["cached"].get("run"))
        yield f"          see it there: metis-flow show {run} {one_line(instance['address'])}"
    for name, title in (("from", "from:"), ("to", "to:")):
        beside = ", ".join(map(one_line, edge_words(instance.get(name, []))))
        if beside:
            yield f"{title:<9} {beside}"
    if instance["calls"]:
        usage = _usage(instance)
        tokens = f"{format_count(usage.prompt_tokens)} tokens in, {format_count(usage.completion_tokens)} out"
        yield f"calls:    {len(instance['calls'])}, {tokens}"
    yield from conversation_lines(instance["calls"], instance["tries"], cut=cut)
    yield from _ending_lines(instance, cut=cut)
    if instance["folder"] is not None:
        yield ""
        yield f"folder:   {near(instance['folder'])}"
        yield from _file_lines(Path(instance["folder"]))


def _ending_lines(instance: Mapping[str, Any], *, cut: bool) -> Iterator[str]:
    if instance["status"] == "done":
        yield ""
        yield from shortened(named("output", instance["output"]), cut=cut)
    error = instance["error"]
    if error is not None:
        yield ""
        yield from error_lines(error)


def error_lines(error: Mapping[str, Any]) -> Iterator[str]:
    """An error of the journal: kind and summary, the detail, the hint. What is very long is cut."""
    yield f"error:    {one_line(error['summary'], LONGEST_LINE)} [{error['kind']}]"
    if error.get("detail"):
        yield from (f"    {line}" for line in shortened(iter(safe(error["detail"]).splitlines()), cut=True))
    if error.get("hint"):
        yield f"  hint: {one_line(error['hint'], LONGEST_LINE)}"


def _file_lines(folder: Path) -> Iterator[str]:
    """Its files and links; links are shown, and not followed."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_symlink() or path.is_file())
    for number, path in enumerate(found):
        if number == MOST_FILES:
            yield "  …"
            return
        size = "a link" if path.is_symlink() else format_size(path.stat().st_size)
        yield f"  {one_line(path.relative_to(folder))} ({size})"
