"""The journal's entries about steps and instances."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from metis_flow.engine.outcome import Outcome
from metis_flow.engine.scope import to_journal
from metis_flow.engine.steprun import Instance, StepRun
from metis_flow.record.journal import Written

_SHARED = ("output", "kind")


class Journal(Protocol):
    """Where entries go: a `JournalWriter`, or nothing, where a run is only thought of."""

    @property
    def folder(self) -> Path | None:
        """Where they can be read again; None for nowhere."""

    def append(self, entry: Mapping[str, Any], on_durable: Callable[[], None] | None = None) -> Written | None:
        """Take an entry to be written; call back once it is durable. None where it is not kept."""


def started(run: str, generation: int, *, resumed: bool) -> dict[str, Any]:
    """This process begins to drive a run.

    Args:
        generation: which of the run's drivers it is.
        resumed: whether this is not the first part of the run.
    """
    driver = {"host": socket.gethostname(), "pid": os.getpid(), "generation": generation}
    return {"e": "start", "run": run, **driver, "resumed": resumed}


def identity(instance: Instance) -> dict[str, Any]:
    """Which instance an entry is about."""
    item = instance.item
    return {"step": instance.step.name, "key": item.key, "address": instance.address, "index": item.index}


def ended(instance: Instance, outcome: Outcome, *, final: bool = True) -> dict[str, Any]:
    """An attempt ended, well or not.

    Args:
        final: whether a failure is the instance's end, and not followed by another attempt.
    """
    entry = {**(instance.entry or identity(instance)), "t0": outcome.began, "t1": outcome.ended}
    entry.setdefault("attempt", instance.attempt)
    if outcome.folder is not None:
        entry["folder"] = outcome.folder
    entry |= _inside(outcome) | _call_in_worker(outcome)
    if outcome.error is not None:
        kept = {"output": to_journal(outcome.value), "kind": outcome.kind} if outcome.value is not None else {}
        return {"e": "failed", **entry, **kept, "error": outcome.error.as_dict(), "final": final}
    if outcome.own_only:
        entry["own"] = True
    return {"e": "done", **entry, "output": to_journal(outcome.value), "kind": outcome.kind}


def answered(instance: Instance, outcome: Outcome) -> dict[str, Any]:
    """A round gave something that is not the instance's end yet."""
    entry = {"e": "answer", **instance.entry, "t0": outcome.began, "t1": outcome.ended}
    return {
        **entry,
        **_inside(outcome),
        **_call_in_worker(outcome),
        "output": to_journal(outcome.value),
        "kind": outcome.kind,
    }


def useless_calls(instance: Instance, outcome: Outcome) -> list[dict[str, Any]]:
    """Answers that a worker was given, that were paid for and are of no use."""
    ids = {"step": instance.step.name, "key": instance.item.key, "attempt": instance.attempt}
    return [{"e": "call", **ids, **said} for said in outcome.said if "problem" in said]


def _call_in_worker(outcome: Outcome) -> dict[str, Any]:
    last = outcome.said[-1] if outcome.said else {"problem": "there is none"}
    return {} if "problem" in last else {"call": last}


def _inside(outcome: Outcome) -> dict[str, Any]:
    """What a workflow that was called has asked."""
    usage = {"calls": outcome.calls, "usage": outcome.usage.as_json()}
    return {"inside": usage} if outcome.is_inside else {}


def taken(
    instance: Instance, earlier: Mapping[str, Any], run: str | None, messages: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """A result that was made earlier stands for this instance.

    Args:
        run: the earlier run that made it; None where it is of this run.
        messages: the conversation that led to it, where something reads that.
    """
    now = time.time()
    more: dict[str, Any] = {"cached": {"run": run}} if run is not None else {}
    if messages is not None:
        more["messages"] = list(messages)
    shared = {name: earlier[name] for name in _SHARED if name in earlier}
    return {"e": "done", **instance.entry, "t0": now, "t1": now, **shared, **more}


def skipped(instance: Instance, reason: str) -> dict[str, Any]:
    """An instance was not run."""
    return {"e": "skipped", **identity(instance), "reason": reason}


def opened(step: StepRun) -> dict[str, Any]:
    """A step began; its number of items is null where it is not known."""
    return {"e": "step", "step": step.name, "items": step.progress.total}


def closed(step: StepRun) -> dict[str, Any]:
    """A step ended."""
    reason = {"reason": step.progress.reason} if step.progress.reason else {}
    return {"e": "stepdone", "step": step.name, "status": step.status, **reason}


def whole_step_skipped(step: StepRun, reason: str) -> dict[str, Any]:
    """A step was not run at all."""
    return {"e": "skipped", **_whole(step), "whole": True, "reason": reason}


def whole_step_failed(step: StepRun) -> dict[str, Any]:
    """A step failed before it had any instance."""
    now = time.time()
    return {"e": "failed", **_whole(step), "attempt": 1, "t0": now, "t1": now, "error": step.error, "final": True}


def _whole(step: StepRun) -> dict[str, Any]:
    return {"step": step.name, "key": None, "address": step.name, "index": 0}
