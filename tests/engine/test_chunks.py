"""Ready chat instances share an app call, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

import pytest
from engine_kit import MODEL, Bench, said

from metis_flow.engine.chat import ChatTask
from metis_flow.engine.chunks import MOST, Chunk, Gathering, failing_with, run_chunk
from metis_flow.inference.answers import ChatRequest
from metis_flow.inference.client import Inference
from metis_flow.inference.endpoints import find_endpoint
from metis_flow.record.journal import JournalWriter
from metis_flow.testing import Reply

Make = Callable[[str], ChatTask]


def tasks(inference: Inference, journal: JournalWriter) -> Make:
    def make(text: str) -> ChatTask:
        entry = {"step": "a", "key": text, "address": f"a@{text}", "index": 0, "attempt": 1}
        request = ChatRequest(MODEL, [{"role": "user", "content": text}], {})
        return ChatTask("a", request, None, 0, None, entry, 30, inference, journal)

    return make


def with_tasks(bench: Bench, use: Callable[[Make], object]) -> None:
    """Call `use` with a maker of tasks, inside an event loop."""

    async def run() -> None:
        assert bench.gateway is not None
        inference = Inference(find_endpoint(str(bench.folder / "local.yaml")))
        await inference.open()
        try:
            result = use(tasks(inference, journal))
            if asyncio.iscoroutine(result):
                await result
        finally:
            await inference.close()

    journal = JournalWriter(bench.folder / "journal")
    try:
        asyncio.run(run())
    finally:
        journal.close()


def test_instances_are_sent_together_when_there_are_many_or_when_asked(chat_bench: Bench) -> None:
    sent: list[int] = []
    gathering = Gathering(lambda chunk: sent.append(len(chunk)))

    def use(make: Make) -> None:
        for number in range(MOST + 3):
            gathering.add(make(str(number)))
        assert sent == [MOST]
        gathering.flush()
        gathering.flush()
        assert sent == [MOST, 3]

    with_tasks(chat_bench, use)


def test_the_slowest_of_a_chunk_holds_back_no_other(chat_bench: Bench) -> None:
    last = asyncio.Event()

    async def rule(body: dict[str, object], n: int) -> Reply:
        return Reply(said(body), latency=20.0 if said(body) == "slow" else 0)

    chat_bench.answers.rule = rule

    async def use(make: Make) -> None:
        chunks: list[Chunk] = []
        gathering = Gathering(chunks.append)
        slow = make("slow")
        held = gathering.add(slow)
        futures = [gathering.add(make(str(number))) for number in range(5)]
        gathering.flush()
        running = asyncio.ensure_future(run_chunk(chunks[0]))
        outcomes = await asyncio.gather(*map(asyncio.wrap_future, futures))
        assert [outcome.value for outcome in outcomes] == ["0", "1", "2", "3", "4"]
        assert not held.done()
        slow.ending.end()  # one instance alone
        await running
        error = held.result().error
        assert error is not None
        assert error.kind == "cancelled"
        last.set()

    with_tasks(chat_bench, use)
    assert last.is_set()


def test_a_call_that_parsl_could_not_run_leaves_no_instance_waiting(chat_bench: Bench) -> None:
    def use(make: Make) -> None:
        chunks: list[Chunk] = []
        gathering = Gathering(chunks.append)
        futures = [gathering.add(make("a")), gathering.add(make("b"))]
        gathering.flush()
        call: Future[object] = Future()
        call.add_done_callback(failing_with(chunks[0]))
        call.set_exception(ValueError("no executor"))
        assert [str(future.exception(0)) for future in futures] == ["no executor"] * 2

    with_tasks(chat_bench, use)


@pytest.mark.parametrize("count", [1, MOST, 3 * MOST + 1])
def test_every_answer_finds_its_instance(chat_bench: Bench, count: int) -> None:
    run = chat_bench.run(
        f"""
        steps: {{a: {{foreach: "${{{{ range({count}) }}}}", chat: "${{{{ item }}}}"}}}}
        outputs: {{all: "${{{{ steps.a.outputs }}}}"}}
        """
    )
    assert run.outputs["all"] == [str(number) for number in range(count)]
