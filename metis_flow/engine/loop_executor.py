"""A Parsl executor that runs ``async def`` apps on one event loop in the driver.

Thousands of calls can be in flight on one thread, and no compute node is held while a model is thinking.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from parsl.executors.base import ParslExecutor

T = TypeVar("T")


class LoopExecutor(ParslExecutor):
    """Runs coroutine functions on an event loop of its own.

    Args:
        label: Parsl's name for it.
    """

    def __init__(self, label: str = "chat") -> None:
        super().__init__()
        self.label = label
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=f"{label}-loop", daemon=True)

    def start(self) -> None:
        """Start the loop's thread."""
        self._thread.start()

    def submit(
        self, func: Callable[..., Any], resource_specification: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """Run ``func(*args, **kwargs)``, a coroutine function, on the loop."""
        return asyncio.run_coroutine_threadsafe(func(*args, **kwargs), self.loop)

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for its result, from another thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def shutdown(self) -> None:
        """Cancel what still runs, and end the thread."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(_cancel_all(), self.loop).result()
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()
        super().shutdown()

    def monitor_resources(self) -> bool:
        """There is no process tree to monitor."""
        return False

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


async def _cancel_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
