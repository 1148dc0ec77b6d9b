"""How often Python looks for garbage in cycles while a run goes on."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (10_000, 10, 10)
"""A call makes some hundred objects, nearly all freed by counting references. With Python's own 700 for the first of
these, looking for cycles took a sixth of a run's CPU; with more than this, memory grows by 10 MB and more."""


class _Rarely:
    """What the first of several runs at once found, and the last puts back."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.runs = 0
        self.before = THRESHOLDS


_rarely = _Rarely()


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look less often, and not at what was there before, such as the modules."""
    with _rarely.lock:
        if _rarely.runs == 0:
            _rarely.before = gc.get_threshold()
            gc.freeze()
            gc.set_threshold(*THRESHOLDS)
        _rarely.runs += 1
    try:
        yield
    finally:
        with _rarely.lock:
            _rarely.runs -= 1
            if _rarely.runs == 0:
                gc.set_threshold(*_rarely.before)
                gc.unfreeze()
