"""Reads what a step says about its tries, its cache, where it runs and what it needs there."""

from __future__ import annotations

import re
from typing import Any

from metis_flow.errors import RETRY_KINDS, did_you_mean
from metis_flow.units import parse_duration, parse_size
from metis_flow.workflow.compiler import Compiler
from metis_flow.workflow.definition import Resources, Retry
from metis_flow.workflow.fields import EXECUTOR_NAME, zero_or_duration
from metis_flow.workflow.source import Location
from metis_flow.workflow.step_models import RetrySpec

_KINDS_OF_VERBS = {"shell": ("run",), "task": ("python", "uses"), "inference": ("chat",)}
_MPI = ("nodes", "ranks_per_node")


def read_retry(compiler: Compiler, raw: Any, verb: str | None, place: Location) -> Retry:
    """``retry``: a number of tries, or ``{attempts, wait, on}``; one try where it is left out."""
    if is_count(raw):
        return Retry(attempts=raw)
    if not isinstance(raw, dict):
        return Retry()
    default = RetrySpec.model_fields["attempts"].default
    attempts = raw.get("attempts", default)
    reasons = raw["on"] if isinstance(raw.get("on"), list) else [] if raw.get("on") is None else [raw["on"]]
    for index, reason in enumerate(reasons):
        spot = (*place, "on", index) if isinstance(raw["on"], list) else (*place, "on")
        _check_reason(compiler, reason, verb, spot)
    return Retry(
        attempts=attempts if is_count(attempts) else default,
        wait=_wait(raw.get("wait")),
        on=frozenset(reason for reason in reasons if isinstance(reason, str | int)),
    )


def _check_reason(compiler: Compiler, reason: Any, verb: str | None, place: Location) -> None:
    if isinstance(reason, bool) or not isinstance(reason, str | int):
        return  # the model has said so
    if isinstance(reason, int):
        if verb not in (None, "run"):
            hint = "for instance 'on: [inference]'" if verb == "chat" else "for instance 'on: [task, timeout]'"
            compiler.problem(f"an exit code is for run steps, and this is a {verb} step", place, hint=hint)
        elif not 1 <= reason <= 255:
            compiler.problem(f"{reason} is no exit code of a failure", place, hint="these are 1 to 255")
    elif reason not in RETRY_KINDS:
        compiler.problem(f"there is no failure '{reason}'", place, hint=did_you_mean(reason, RETRY_KINDS))
    elif verb is not None and verb not in (_KINDS_OF_VERBS.get(reason) or (verb,)):
        possible = [kind for kind in RETRY_KINDS if verb in (_KINDS_OF_VERBS.get(kind) or (verb,))]
        summary = f"a {verb} step cannot fail with '{reason}'"
        compiler.problem(summary, place, hint="it can with: " + ", ".join(possible))


def _wait(raw: Any) -> float:
    try:
        return 0.0 if raw is None else float(zero_or_duration(raw))
    except (ValueError, TypeError):
        return 0.0  # the model has said so


def read_resources(compiler: Compiler, raw: Any, verb: str | None, place: Location) -> Resources | None:
    """``resources``: what one instance needs."""
    if not isinstance(raw, dict):
        return None
    for name in _MPI:
        if raw.get(name) is not None and verb in ("python", "uses"):
            hint = "an MPI step is a script: 'run: $PARSL_MPI_PREFIX python script.py'"
            compiler.problem(f"'{name}' is for run steps", (*place, name), hint=hint, key=True)
    if not raw:
        compiler.problem("'resources' is empty", place, hint="for instance 'resources: {cores: 4}'")
        return None
    counts = {name: raw[name] for name in ("cores", "gpus", *_MPI) if is_count(raw.get(name))}
    return Resources(**counts, memory=_memory(raw.get("memory")))


def _memory(raw: Any) -> int | None:
    try:
        return None if raw is None else parse_size(raw)
    except (ValueError, OverflowError):
        return None  # the model has said so


def read_executor(compiler: Compiler, raw: Any, place: Location) -> str | None:
    """``executor``: a plain name of the site's."""
    if not isinstance(raw, str):
        return None
    summary = "'executor' takes a plain name: what a model said never chooses where code runs"
    if compiler.refuse_expressions(raw, place, summary, "choose the step with 'if'"):
        return None
    if not re.fullmatch(EXECUTOR_NAME, raw):
        hint = "letters, digits, '_' and '-', a letter first; see 'metis-flow sites'"
        compiler.problem(f"'{raw}' is no name of an executor", place, hint=hint)
    return raw


def read_on_error(raw: Any) -> tuple[bool, float]:
    """``on_error``: whether failed instances are allowed, and the least share of successes."""
    if raw == "continue":
        return True, 0.0
    if isinstance(raw, dict):
        share = raw.get("min_success", 0.0)
        return bool(raw.get("continue", False)), float(share) if isinstance(share, int | float) else 0.0
    return False, 0.0


def read_duration(raw: Any) -> float | None:
    """Seconds, where it is a duration."""
    try:
        return None if raw is None else parse_duration(raw)
    except (ValueError, AttributeError, OverflowError):
        return None  # the model has said so already


def is_count(raw: Any) -> bool:
    """Whether it is a whole number above zero."""
    return isinstance(raw, int) and not isinstance(raw, bool) and raw > 0
