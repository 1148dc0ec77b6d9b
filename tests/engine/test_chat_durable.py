"""An answer that came in time is not lost to the clock while it is being written down."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from engine_kit import MODEL

from metis_flow.engine.chat import ChatTask, durable, run_chat
from metis_flow.engine.outcome import Outcome
from metis_flow.inference.answers import ChatRequest
from metis_flow.inference.client import Inference
from metis_flow.inference.endpoints import find_endpoint
from metis_flow.record.journal import JournalWriter, read_journal
from metis_flow.testing import Gateway


def test_a_timeout_while_the_answer_is_written_down_does_not_fail_it(module_gateway: Gateway, tmp_path: Path) -> None:
    endpoint = find_endpoint(str(module_gateway.write_endpoint(tmp_path, "local", limits={})))
    disk_is_back = threading.Event()

    def slow_disk() -> None:
        disk_is_back.wait(60)

    journal = JournalWriter(tmp_path / "journal", guard=slow_disk)
    threading.Timer(1.0, disk_is_back.set).start()

    async def ask() -> Outcome:
        inference = Inference(endpoint)
        await inference.open()
        try:
            request = ChatRequest(MODEL, [{"role": "user", "content": "hi"}], {})
            entry = {"step": "a", "key": None, "address": "a", "index": 0, "attempt": 1}
            return await run_chat(ChatTask("a", request, None, 0, None, entry, 0.5, inference, journal))
        finally:
            await inference.close()

    outcome = asyncio.run(ask())
    journal.close()
    assert (outcome.error, outcome.value, outcome.durable, outcome.calls) == (None, "hi", True, 1)
    assert [entry["e"] for entry in read_journal(tmp_path / "journal")] == ["done"]


def test_all_that_wait_for_the_journal_are_woken(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path / "journal")

    async def write(count: int) -> int:
        notes = ({"e": "note", "n": number} for number in range(count))
        return len(await asyncio.wait_for(asyncio.gather(*(durable(journal, note) for note in notes)), 60))

    try:
        for _ in range(2):  # each on a loop of its own
            assert asyncio.run(write(2000)) == 2000
    finally:
        journal.close()
    assert sum(1 for _ in read_journal(tmp_path / "journal")) == 4000
