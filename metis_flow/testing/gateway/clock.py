"""Time inside the gateway, which may run faster than outside."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """Gateway seconds: `speed` of them pass in one real second.

    Rate windows, caches and the upstream's time limit are measured with it, so that a window of 60 s lasts
    60 / speed real seconds. Latencies of replies and lifetimes of tokens are real seconds and do not use it.
    """

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"speed must be above 0, not {speed!r}")
        self.speed = speed

    def now(self) -> float:
        """Gateway seconds since an arbitrary moment; never goes backwards."""
        return time.monotonic() * self.speed

    def real(self, seconds: float) -> float:
        """Real seconds in which so many gateway seconds pass."""
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait so many gateway seconds."""
        await asyncio.sleep(self.real(seconds))
