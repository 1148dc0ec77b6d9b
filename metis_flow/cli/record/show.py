"""``metis-flow show``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from metis_flow.cli.documents import print_document, reader_may_leave
from metis_flow.cli.options import json_option, run_argument, runs_dir_option
from metis_flow.errors import RecordError, did_you_mean

if TYPE_CHECKING:
    from metis_flow.record.folder import RunFolder


@click.command("show")
@run_argument
@click.argument("target", metavar="[STEP[@KEY]]", required=False)
@runs_dir_option
@json_option
def command(ref: str, target: str | None, runs_dir: Path, as_json: bool) -> None:
    """Show a RUN, one of its steps, or one instance.

    With STEP a row for each instance, in the order of the items. With STEP@KEY one of them: why it ran, what it was
    made from and what was made from it, prompts as they were sent, reasoning, answers, tries, tokens, output, error,
    files. KEY is an instance's key, or the short form of it that tables show.
    """
    from metis_flow.record.folder import find_run

    folder = find_run(ref, runs_dir)
    if target is None:
        _show_run(folder, as_json=as_json)
        return
    step, at, key = target.partition("@")
    if not at and (only := _only_instance(folder, step)) is not None:
        _show_instance(folder, only, as_json=as_json)
    elif not at:
        _show_step(folder, step, as_json=as_json)
    else:
        _show_instance(folder, _find_instance(folder, step, key), as_json=as_json)


def _show_run(folder: RunFolder, *, as_json: bool) -> None:
    from metis_flow.record.lockfile import read_lock
    from metis_flow.record.state import RunState
    from metis_flow.views.run_overview import overview_as_json, print_overview

    state, lock = RunState.read(folder), read_lock(folder)
    if as_json:
        print_document(overview_as_json(state, lock))
    else:
        print_overview(state, lock, folder, sys.stdout)


def _show_step(folder: RunFolder, step: str, *, as_json: bool) -> None:
    from metis_flow.views.instances import instance_as_json, print_instances

    instances = (instance_as_json(folder, entry) for entry in _entries(folder, step))
    if as_json:
        ordered = sorted(instances, key=lambda instance: instance["index"] or 0)
        print_document({"run": folder.id, "step": step, "instances": ordered})
        return
    with reader_may_leave():
        print_instances(instances, sys.stdout)


def _show_instance(folder: RunFolder, entry: dict[str, Any], *, as_json: bool) -> None:
    from metis_flow.views.edges import neighbours, recorded_workflow
    from metis_flow.views.instances import instance_as_json, print_instance
    from metis_flow.views.why import why_it_ran

    instance, workflow = instance_as_json(folder, entry), recorded_workflow(folder)
    instance |= neighbours(folder, workflow, instance["step"], instance["key"])
    instance["why"] = why_it_ran(folder, workflow, entry)
    if as_json:
        print_document(instance)
        return
    with reader_may_leave():
        print_instance(instance, sys.stdout)


def _entries(folder: RunFolder, step: str, key: str | None = None) -> Iterator[dict[str, Any]]:
    from metis_flow.record.state import read_instances

    return read_instances(folder, step, key)


def _only_instance(folder: RunFolder, step: str) -> dict[str, Any] | None:
    """The entry of a step that has one instance, and no key; None for a fan-out, and where nothing has ended.

    Raises:
        RecordError: the run has no such step.
    """
    first = next(_entries(folder, step), None)
    if first is None:
        _require_step(folder, step)
        return None
    return first if first.get("key") is None else None


def _find_instance(folder: RunFolder, step: str, key: str) -> dict[str, Any]:
    """The entry of the instance with a key, or with the short form of one.

    Raises:
        RecordError: there is none, or the word is the key of one and the short form of another.
    """
    found = list(_entries(folder, step, key))
    exact = [entry for entry in found if entry.get("key") == key]
    if len(found) == 1 or len(exact) == 1:
        return (exact or found)[0]
    if found:
        detail = "\n".join(entry["address"] for entry in found)
        raise RecordError(f"'{step}@{key}' means {len(found)} instances", detail=detail, hint="write one of these")
    words = {str(word) for entry in _entries(folder, step) for word in (entry.get("key"), _after_at(entry))}
    if not words:
        _require_step(folder, step)
    hint = did_you_mean(key, words) or f"see them all: metis-flow show {folder.id} {step}"
    raise RecordError(f"the step '{step}' has no instance '{key}' that has ended", where=folder.id, hint=hint)


def _after_at(entry: dict[str, Any]) -> str:
    return str(entry["address"]).partition("@")[2]


def _require_step(folder: RunFolder, step: str) -> None:
    from metis_flow.record.state import RunState

    steps = RunState.read(folder).steps
    if step not in steps:
        hint = did_you_mean(step, steps)
        raise RecordError(f"the run has no step '{step}', or has not come to it", where=folder.id, hint=hint)
