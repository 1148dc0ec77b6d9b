"""Lanes of worker processes: what goes out, and what waits, beside models that are away, few places, and a stop."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from metis_flow.engine.call_chunks import CallChunk, send_chunk
from metis_flow.engine.callers import Callers
from metis_flow.engine.chat import ChatTask
from metis_flow.engine.chunks import Ready
from metis_flow.engine.worker_chat import WorkerChatTask
from metis_flow.inference.answers import ChatRequest
from metis_flow.inference.client import Inference
from metis_flow.inference.endpoints import EndpointConfig, find_endpoint
from metis_flow.inference.leases import Lease
from metis_flow.testing import Gateway, Reply

QUESTION = [{"role": "user", "content": "x"}]
NOBODY = EndpointConfig(name="x", source=Path("x.yaml"), kind="openai", base_url="http://127.0.0.1:9/v1")


class Desk:
    """Lanes whose chunks go nowhere: it notes the model and the number of calls of each."""

    def __init__(self, folder: Path, *, places: int, lanes: int) -> None:
        self.inference = Inference(NOBODY, concurrency=places)
        self.sent: list[tuple[str, int]] = []
        unused: Any = None
        self.callers = Callers(unused, self.inference, folder, lanes, self._call, unused, unused)
        self.lanes = [asyncio.ensure_future(self.callers._lane()) for _ in range(lanes)]

    def _call(self, data: bytes, mark: str) -> Future[bytes]:
        chunk = pickle.loads(data)
        self.sent.append((chunk.tasks[0].request.model, len(chunk.tasks)))
        return Future()

    def ask(self, model: str, count: int) -> None:
        journal: Any = None
        request = ChatRequest(model, QUESTION, {})
        tasks = (ChatTask("a", request, None, 0, None, {}, None, self.inference, journal) for _ in range(count))
        self.callers.take([Ready(task) for task in tasks])

    async def close(self) -> None:
        for lane in self.lanes:
            lane.cancel()
        await asyncio.gather(*self.lanes, return_exceptions=True)


def test_a_model_that_is_away_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async def main() -> list[tuple[str, int]]:
        desk = Desk(tmp_path, places=64, lanes=2)
        now = desk.inference.clock.now()
        desk.inference.limiter.gate("away").close(now + 900, "it is not live", now)
        desk.ask("away", 64)
        desk.ask("there", 16)
        await asyncio.sleep(0.2)
        await desk.close()
        return desk.sent

    assert asyncio.run(main()) == [("there", 16)]


def test_nothing_goes_out_once_calls_are_withdrawn(tmp_path: Path) -> None:
    async def main() -> list[tuple[str, int]]:
        desk = Desk(tmp_path, places=4, lanes=1)
        held = [await desk.inference.limiter.enter("m") for _ in range(4)]
        desk.ask("m", 16)
        await asyncio.sleep(0.05)
        held[0].leave()  # the lane is given this place …
        desk.inference.withdraw()
        desk.callers.withdraw()  # … and before it takes its turn, all is withdrawn
        await asyncio.sleep(0.05)
        await desk.close()
        return desk.sent

    assert asyncio.run(main()) == []


@pytest.fixture
def slow_at_first() -> Iterator[tuple[Gateway, list[float]]]:
    """A gateway whose first four answers take a second, and when it was asked."""
    asked: list[float] = []

    def rule(body: dict[str, Any], n: int) -> Reply:
        asked.append(time.monotonic())
        return Reply("ok", latency=1.0 if n < 4 else 0.0)

    with Gateway(rule, limits=None) as gateway:
        yield gateway, asked


def test_a_moment_that_was_missed_for_want_of_a_place_is_lost(
    slow_at_first: tuple[Gateway, list[float]], tmp_path: Path
) -> None:
    gateway, asked = slow_at_first
    endpoint = find_endpoint(str(gateway.write_endpoint(tmp_path, "local", limits={})))
    tasks = tuple(
        WorkerChatTask(f"a@{n}", ChatRequest("gpt-oss-120b", QUESTION, {}), None, 0, None, endpoint) for n in range(10)
    )
    began = time.monotonic() + 0.3
    lease = Lease(4, began + 4.0, tuple(began + 0.1 * n for n in range(10)))
    back = send_chunk(CallChunk(endpoint, 8, lease, tasks, (0.0,) * 10), tmp_path / "mark")
    hows = [one.how for one in back.backs]
    assert hows.count("ended") == len(asked)
    assert "unsent" in hows, "six calls would have gone out in one instant"
