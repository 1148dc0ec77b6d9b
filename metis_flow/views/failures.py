"""The failures of a run: those of the same cause together, and what failed or was skipped only because of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from metis_flow.views.causes import cause_of

_ITEM_SKIPPED = re.compile(r"([a-z][a-z0-9_]*) (failed|skipped)")
_STEP_SKIPPED = re.compile(r"([a-z][a-z0-9_]*) (failed|was skipped)")
_GATHERED = re.compile(r"(?:\(|; )([a-z][a-z0-9_]*): ")


@dataclass
class Failure:
    """Instances that failed in the same way.

    Attributes:
        cause: the summary without what differs from one to another.
        summary, address, error, folder: of one of them, the first of its step; the folder is relative to the run's.
        steps: how many in each step.
    """

    kind: str
    cause: str
    summary: str
    address: str
    error: Mapping[str, Any]
    folder: str | None = None
    steps: Counter[str] = field(default_factory=Counter)
    place: tuple[str, int] = ("", 0)

    @property
    def count(self) -> int:
        """How many instances there are."""
        return self.steps.total()

    def as_json(self) -> dict[str, Any]:
        """The form in ``errors --json``."""
        example = {"address": self.address, **{name: self.error.get(name) for name in ("where", "hint", "detail")}}
        facts = {"kind": self.kind, "cause": self.cause, "summary": self.summary}
        return facts | {"count": self.count, "steps": dict(self.steps), "example": example | {"folder": self.folder}}


@dataclass(frozen=True)
class Consequence:
    """What did not happen in a step because of failures above it.

    Attributes:
        failed, skipped: instances.
        roots: the steps where it began.
    """

    step: str
    failed: int
    skipped: int
    roots: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The form in ``errors --json``."""
        return {"step": self.step, "failed": self.failed, "skipped": self.skipped, "roots": list(self.roots)}


@dataclass(frozen=True)
class Failures:
    """All that went wrong in a run.

    Attributes:
        groups: by cause, the most frequent first.
        consequences: in the order in which the steps met them.
    """

    groups: list[Failure]
    consequences: list[Consequence]

    @property
    def count(self) -> int:
        """How many instances failed of themselves."""
        return sum(group.count for group in self.groups)


_Cause = tuple[str, bool]


@dataclass
class _Follower:
    """A step with instances that failed or were skipped because of others.

    Attributes:
        causes: the steps that this was because of, and whether instances there had failed, or been skipped themselves.
        items: which of its own were skipped.
    """

    failed: int = 0
    skipped: int = 0
    causes: set[_Cause] = field(default_factory=set)
    items: set[int] = field(default_factory=set)


def find_failures(entries: Iterable[Mapping[str, Any]]) -> Failures:
    """Group the failed and skipped entries of `read_instances`, which may be any number.

    Only one example of each cause is kept, and a number for each item that was skipped after a failure.
    """
    groups: dict[tuple[str, str], Failure] = {}
    followers: dict[str, _Follower] = {}
    for entry in entries:
        if entry["e"] == "failed" and entry["error"]["kind"] != "upstream_failed":
            _add(groups, entry)
        elif entry["e"] in ("failed", "skipped"):
            _follow(followers, entry)
    begun = {step for group in groups.values() for step in group.steps}
    consequences = [
        Consequence(step, found.failed, found.skipped, tuple(sorted(_roots(found.causes, begun, followers))))
        for step, found in followers.items()
    ]
    return Failures(sorted(groups.values(), key=lambda group: -group.count), consequences)


def group_failures(entries: Iterable[Mapping[str, Any]]) -> list[Failure]:
    """Only the groups of `find_failures`."""
    return find_failures(entries).groups


def _add(groups: dict[tuple[str, str], Failure], entry: Mapping[str, Any]) -> None:
    error, step = entry["error"], entry["step"]
    kind, cause = error["kind"], cause_of(error["summary"])
    group = groups.get((kind, cause))
    if group is None:
        group = groups[kind, cause] = Failure(kind, cause, error["summary"], entry["address"], error)
        group.place = step, entry["index"] + 1
    group.steps[step] += 1
    first_step, index = group.place
    if step == first_step and entry["index"] < index:
        group.place = step, entry["index"]
        group.summary, group.address, group.error = error["summary"], entry["address"], error
        group.folder = entry.get("folder")


def _follow(followers: dict[str, _Follower], entry: Mapping[str, Any]) -> None:
    """Count an instance whose failure, or being skipped, is the consequence of another's failure; else nothing."""
    step = entry["step"]
    causes: set[_Cause] = set()
    if entry["e"] == "failed":
        causes = {(name, True) for name in _GATHERED.findall(entry["error"]["summary"])}
    elif entry.get("whole"):
        causes = _causes_of_skipping(entry.get("reason") or "", followers)
    else:
        match = _ITEM_SKIPPED.fullmatch(entry.get("reason") or "")
        if match is not None and (match[2] == "failed" or entry["index"] in _items(followers, match[1])):
            causes = {(match[1], match[2] == "failed")}
    if not causes:
        return
    found = followers.setdefault(step, _Follower())
    found.causes |= causes
    if entry["e"] == "failed":
        found.failed += 1
    else:
        found.skipped += 1
        found.items.add(entry["index"])


def _items(followers: Mapping[str, _Follower], step: str) -> set[int]:
    return followers[step].items if step in followers else set()


def _causes_of_skipping(reason: str, followers: Mapping[str, _Follower]) -> set[_Cause]:
    """The steps that failed, or that were themselves skipped after a failure, out of why a step was skipped."""
    found = [_STEP_SKIPPED.fullmatch(part) for part in reason.split(", ")]
    told = {(match[1], match[2] == "failed") for match in found if match}
    return {(name, failed) for name, failed in told if failed or name in followers}


def _roots(causes: Iterable[_Cause], begun: set[str], followers: Mapping[str, _Follower]) -> set[str]:
    """The steps with failures of their own, upwards from these."""
    roots: set[str] = set()
    waiting, seen = list(causes), set(causes)
    while waiting:
        step, failed = waiting.pop()
        above = followers.get(step)
        if above is None or (failed and step in begun):
            roots.add(step)
        else:
            waiting.extend(above.causes - seen)
            seen |= above.causes
    return roots
