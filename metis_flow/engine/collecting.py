"""How often Python looks for garbage in cycles while a run goes on."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (10_000, 10, 10)
"""A call makes some hundred objects, nearly all freed by counting references. With Python's own 700 for the first of
these, looking for cycles took a sixth of a run's CPU; with more than this, memory grows by 10 MB and more."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look less often, and not at what was there before, such as the modules."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
