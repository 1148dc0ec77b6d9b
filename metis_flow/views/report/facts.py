"""What a page says about a run in words: how it ended, what it cost, where it ran, how to run it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metis_flow.record.folder import RunFolder
from metis_flow.record.lockfile import RunLock
from metis_flow.record.state import RunState
from metis_flow.units import format_count, format_duration
from metis_flow.views.safe_text import one_line, safe
from metis_flow.views.values import short, when
from metis_flow.workflow.definition import WorkflowDef

VALUE_WIDTH = 500
MARKS = {"done": "✓", "failed": "✗", "running": "…", "stopped": "■", "paused": "■", "died": "✗"}


@dataclass(frozen=True)
class Fact:
    """A name, a value, and what qualifies it."""

    name: str
    value: str
    more: str = ""


def headline(state: RunState) -> str:
    """How the run ended, in one sentence."""
    failed = {name: counts.failed for name, counts in state.steps.items() if counts.failed}
    ended = sum(_ended(state, name) for name in state.steps)
    count = sum(failed.values())
    where = ", ".join(f"{format_count(number)} of {name}" for name, number in failed.items())
    failures = f"{format_count(count)} of {_count(ended, 'instance')} failed ({where})" if failed else ""
    if len(failed) == 1:  # of those of its step: the others say nothing about how bad that is
        [name] = failed
        failures = f"{format_count(count)} of {_count(_ended(state, name), 'instance')} of {name} failed"
    broken = [name for name, counts in state.steps.items() if counts.status == "failed"]
    steps = len(state.steps)
    match state.status:
        case "done" if failed:
            return f"It ran to its end, but {failures}."
        case "done":
            return f"All went well: {_count(ended, 'instance')} of {_count(steps, 'step')}."
        case "failed":
            what = f"The step {broken[0]} failed" if len(broken) == 1 else f"The steps {', '.join(broken)} failed"
            return f"{what if broken else 'It failed'}: {failures}." if failed else f"{what}."
        case "running":
            return f"It is going on: {_count(ended, 'instance')} so far{', ' + failures if failed else ''}."
        case "died":
            return f"Its process is gone before the end; {_count(ended, 'instance')} had ended."
        case other:
            why = f": {one_line(state.reason)}" if state.reason else ""
            return f"It was {other}{why}. {_count(ended, 'instance')} had ended{', ' + failures if failed else ''}."


def costs(state: RunState, lock: RunLock | None) -> Iterator[Fact]:
    """What it took, where and when."""
    usage = state.usage
    yield Fact("took", format_duration(state.seconds))
    if state.calls or (lock is not None and lock.models):
        yield Fact("calls", format_count(state.calls), _cached(state))
        split = f"{format_count(usage.prompt_tokens)} in, {format_count(usage.completion_tokens)} out"
        yield Fact("tokens", format_count(usage.total_tokens), split)
    elif state.cached:
        yield Fact("from earlier runs", format_count(state.cached), "results")
    if state.limiter:
        limiter = state.limiter
        waiting = f"{format_count(limiter['waiting'])} waiting" if limiter.get("waiting") else ""
        yield Fact("in flight", f"{limiter['in_flight']} of {limiter['limit']}", waiting)
    yield Fact("started", when(state.started), f"on {one_line(state.host)}" if state.host else "")
    if lock is None:
        return
    if lock.models:
        names = sorted({one_line(model.get("name")) for model in lock.models.values()})
        yield Fact("model", ", ".join(names), f"endpoint {one_line(str(lock.endpoint).rsplit('/', 1)[-1])}")
    versions = f"metis-flow {lock.packages.get('metis-flow', '?')}"
    yield Fact("site", one_line(lock.site), f"{versions}, Python {lock.python}")


def rerun_command(lock: RunLock, workflow: WorkflowDef | None) -> str:
    """The command that starts the same run anew; for a long value it has ``…``, and lock.json has the value."""
    words = ["metis-flow", "run", lock.workflow]
    for name, value in lock.parameters.items():
        if workflow is not None and _is_default(workflow, name, value):
            continue
        text = value if isinstance(value, str) else json.dumps(value)
        words += ["-p", f"{name}={text}" if len(text) <= VALUE_WIDTH else f"{name}=…"]
    if lock.endpoint is not None and (workflow is None or workflow.endpoint != lock.endpoint):
        words += ["--endpoint", lock.endpoint]
    if lock.site != "local":
        words += ["--site", lock.site]
    if lock.options.get("limit"):
        words += ["--limit", str(lock.options["limit"])]
    return safe(shlex.join(words))


def next_command(state: RunState, folder: RunFolder) -> str | None:
    """The command that goes on with a run that did not end well."""
    path = shlex.quote(str(folder.path))
    if state.status in ("stopped", "paused", "died"):
        return safe(f"metis-flow resume {path}")
    if any(counts.failed for counts in state.steps.values()) and state.status != "running":
        return safe(f"metis-flow resume {path} --failed")
    return None


def provenance(lock: RunLock) -> list[tuple[str, list[tuple[str, str]]]]:
    """What the run was started with: titles with their names and values."""
    parts: list[tuple[str, Mapping[str, Any]]] = [
        ("Parameters", lock.parameters),
        ("Models", lock.models),
        ("Options", {name: value for name, value in lock.options.items() if value is not None}),
        ("Packages", {"python": lock.python, **lock.packages}),
        ("Sources", lock.sources),
        ("Tasks", lock.tasks),
    ]
    git = {} if lock.git is None else {"commit": lock.git.commit, "changed since": "yes" if lock.git.dirty else "no"}
    place = {"workflow": lock.workflow, "host": lock.host, "created": when(lock.created)}
    parts = [("Place", {**place, **{f"git {name}": value for name, value in git.items()}}), *parts]
    return [
        (title, [(safe(name), short(value, VALUE_WIDTH)) for name, value in part.items()])
        for title, part in parts
        if part
    ]


def _is_default(workflow: WorkflowDef, name: str, value: Any) -> bool:
    param = workflow.params.get(name)
    if param is None:
        return False
    if param.default == value:
        return True
    # a path is written relative to the workflow, and kept absolute
    return isinstance(value, str) and isinstance(param.default, str) and value.endswith(f"/{param.default}")


def _ended(state: RunState, step: str) -> int:
    return state.steps[step].done + state.steps[step].failed


def _cached(state: RunState) -> str:
    return f"{format_count(state.cached)} results from earlier runs" if state.cached else ""


def _count(number: int, word: str) -> str:
    return f"{format_count(number)} {word}{'' if number == 1 else 's'}"
