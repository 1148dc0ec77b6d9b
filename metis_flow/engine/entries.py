"""The journal's entries about steps and instances."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from metis_flow.engine.outcome import Outcome
from metis_flow.engine.scope import to_journal
from metis_flow.engine.steprun import Instance, StepRun

_SHARED = ("output", "kind", "folder", "cached", "t0", "t1")


def identity(instance: Instance) -> dict[str, Any]:
    """Which instance an entry is about."""
    item = instance.item
    return {"step": instance.step.name, "key": item.key, "address": instance.address, "index": item.index}


def ended(instance: Instance, outcome: Outcome) -> dict[str, Any]:
    """An attempt ended, well or not."""
    entry = {**(instance.entry or identity(instance)), "t0": outcome.began, "t1": outcome.ended}
    entry.setdefault("attempt", instance.attempt)
    if outcome.folder is not None:
        entry["folder"] = outcome.folder
    if outcome.error is not None:
        return {"e": "failed", **entry, "error": outcome.error.as_dict(), "final": True}
    return {"e": "done", **entry, "output": to_journal(outcome.value), "kind": outcome.kind}


def taken(instance: Instance, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """A result of an earlier run stands for this instance."""
    return {"e": "done", **instance.entry, **{name: earlier[name] for name in _SHARED if name in earlier}}


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
