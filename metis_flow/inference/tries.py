"""How often one call has been sent again, and for how long it has waited."""

from __future__ import annotations

from metis_flow.inference.errors import CallFailed


class Tries:
    """How often a call was sent again, and how long it waited for that, by kind of failure."""

    def __init__(self) -> None:
        self.count = 0
        self._of_kind: dict[str, int] = {}
        self._waited = 0.0

    def next(self, error: CallFailed) -> float | None:
        """Seconds to wait before the next try, or None."""
        repeated = self._of_kind.get(error.kind, 0)
        wait = error.retry.wait(repeated, self._waited)
        if wait is None:
            return None
        if error.after is not None:
            wait = max(wait, error.after)
        self.count += 1
        self._of_kind[error.kind] = repeated + 1
        self._waited += wait
        return wait
