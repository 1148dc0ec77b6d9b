"""Which steps a run is for: ``--only``, ``--from`` and ``--until``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metis_flow.errors import UsageError, did_you_mean
from metis_flow.plan.graph import Graph

Role = Literal["run", "take", "leave"]
"""What a step does: it runs; its results are taken from earlier runs; it is left out."""


@dataclass(frozen=True)
class Selection:
    """The part of a workflow that a run is for.

    Attributes:
        only: this step alone runs.
        start: this step and all that depend on it run.
        until: this step and all that it depends on run.
    """

    only: str | None = None
    start: str | None = None
    until: str | None = None

    def __str__(self) -> str:
        words = {"--only": self.only, "--from": self.start, "--until": self.until}
        return " ".join(f"{word} {step}" for word, step in words.items() if step is not None)

    def roles(self, graph: Graph) -> dict[str, Role]:
        """What each step does.

        Raises:
            UsageError: there is no such step, or nothing is left to run.
        """
        for step in (self.only, self.start, self.until):
            if step is not None and step not in graph.order:
                raise UsageError(f"there is no step '{step}' to select", hint=did_you_mean(step, graph.order))
        chosen = set(graph.order)
        if self.only is not None:
            chosen &= {self.only}
        if self.start is not None:
            chosen &= {self.start, *graph.below(self.start)}
        if self.until is not None:
            chosen &= {self.until, *graph.above(self.until)}
        if not chosen:
            raise UsageError(f"no step is left to run with {self}", hint="'metis-flow graph FILE' shows the order")
        needed = {above for step in chosen for above in graph.above(step)} - chosen
        return {step: "run" if step in chosen else "take" if step in needed else "leave" for step in graph.order}
