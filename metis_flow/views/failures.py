"""The failures of a run, those of the same cause together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from metis_flow.views.instances import error_lines
from metis_flow.views.safe_text import one_line


@dataclass
class Failure:
    """Instances that failed in the same way.

    Attributes:
        steps: how many in each step.
        address: of the first of them.
        error: of the first of them.
    """

    kind: str
    summary: str
    address: str
    error: Mapping[str, Any]
    steps: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many instances there are."""
        return self.steps.total()

    def as_json(self) -> dict[str, Any]:
        """The form in ``errors --json``."""
        example = {"address": self.address, **{name: self.error.get(name) for name in ("where", "hint", "detail")}}
        facts = {"kind": self.kind, "summary": self.summary, "count": self.count, "steps": dict(self.steps)}
        return facts | {"example": example}


def group_failures(entries: Iterable[Mapping[str, Any]]) -> list[Failure]:
    """Failed entries of `read_instances` by kind and summary, the most frequent first."""
    found: dict[tuple[str, str], Failure] = {}
    for entry in entries:
        if entry["e"] == "failed":
            error = entry["error"]
            cause = error["kind"], error["summary"]
            failure = found.setdefault(cause, Failure(*cause, entry["address"], error))
            failure.steps[entry["step"]] += 1
    return sorted(found.values(), key=lambda failure: -failure.count)


def print_failures(failures: Sequence[Failure], out: TextIO, *, show: str) -> None:
    """Each cause with its number and an example.

    Args:
        show: the command that shows an instance, without its address.
    """
    for failure in failures:
        steps = ", ".join(f"{step} {count:,}" for step, count in failure.steps.items())
        out.write(f"{failure.count:,} failed ({steps}), for instance {one_line(failure.address)}\n")
        out.writelines(f"  {line}\n" for line in error_lines(failure.error))
        out.write(f"  look at it: {show} {one_line(failure.address)}\n\n")
