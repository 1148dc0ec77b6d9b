"""The limits of a workflow (``limits: {calls, tokens}``), and when they are reached."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from metis_flow.engine.stop import Stop
from metis_flow.errors import EXIT_LIMIT
from metis_flow.workflow.models import Limits


@dataclass
class Budget:
    """What a run may still spend.

    Attributes:
        calls: chat instances started, those of earlier parts of the run included.
        tokens: tokens of answers received, likewise.
    """

    limits: Limits
    calls: int = 0
    tokens: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take_call(self) -> Stop | None:
        """Count a call that is about to be made; or say why none may be. Safe from any thread."""
        with self._lock:
            stop = self._reached()
            self.calls += stop is None
            return stop

    def add_tokens(self, count: int) -> None:
        """Tokens of an answer. Safe from any thread."""
        with self._lock:
            self.tokens += count

    def _reached(self) -> Stop | None:
        if self.limits.calls is not None and self.calls >= self.limits.calls:
            return _stop("calls", self.limits.calls)
        if self.limits.tokens is not None and self.tokens >= self.limits.tokens:
            return _stop("tokens", self.limits.tokens)
        return None


def _stop(what: str, limit: int) -> Stop:
    reason = f"the limit of {limit:,} {what} was reached"
    hint = f"raise limits.{what} in the workflow, and resume with --accept"
    return Stop("stopped", EXIT_LIMIT, reason, hint, withdraws=what != "calls")
