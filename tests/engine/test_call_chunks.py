"""What a worker does with a chunk of calls: no more than its lease allows, and no more than is still wanted."""

from __future__ import annotations

import pickle
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from engine_kit import MODEL, Bench, said

from metis_flow.engine.call_chunks import ALL, CallChunk, ChunkBack, lightened, send_chunk, whole
from metis_flow.engine.worker_chat import WorkerChatTask
from metis_flow.inference.answers import ChatRequest
from metis_flow.inference.endpoints import EndpointConfig, find_endpoint
from metis_flow.inference.leases import Lease
from metis_flow.testing import Gateway, Reply


@pytest.fixture
def gateway(chat_bench: Bench) -> Gateway:
    """Who answers, and counts."""
    assert chat_bench.gateway is not None
    return chat_bench.gateway


def tasks(bench: Bench, count: int) -> tuple[WorkerChatTask, ...]:
    """Calls for the bench's endpoint."""
    endpoint = find_endpoint(str(bench.folder / "local.yaml"))
    return tuple(task(endpoint, str(number)) for number in range(count))


def task(endpoint: EndpointConfig, text: str) -> WorkerChatTask:
    request = ChatRequest(MODEL, [{"role": "user", "content": text}], {"temperature": 0})
    return WorkerChatTask(f"a@{text}", request, None, 0, 30.0, endpoint)


def send(bench: Bench, mark: Path, lease: Lease, count: int, cost: float = 0.0) -> ChunkBack:
    """Send a chunk as a worker does, after the way that it takes to one."""
    given = tasks(bench, count)
    travelling = pickle.dumps(CallChunk(given[0].endpoint, 64, lease, given, (cost,) * count))
    assert bench.gateway is not None
    assert bench.gateway.token.encode() not in travelling
    back: ChunkBack = pickle.loads(pickle.dumps(send_chunk(pickle.loads(travelling), mark)))
    return back


def test_every_call_comes_back_with_its_answer_and_the_messages_stay_behind(chat_bench: Bench, tmp_path: Path) -> None:
    back = send(chat_bench, tmp_path / "mark", Lease(8, time.monotonic() + 30), 40)
    assert [(one.how, one.outcome.value) for one in back.backs] == [("ended", str(n)) for n in range(40)]
    assert back.backs[3].outcome.said[0]["messages"] is None
    given = tasks(chat_bench, 4)[3]
    full = whole(back.backs[3].outcome, given)
    assert full.said[0]["messages"] == given.request.messages
    assert lightened(full, given).said[0]["settings"] is None


@pytest.mark.parametrize("seed", range(6))
def test_a_worker_never_exceeds_a_random_lease(chat_bench: Bench, gateway: Gateway, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    chat_bench.answers.rule = lambda body, n: Reply(
        said(body), latency=rng.uniform(0, 0.03), usage={"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    )
    places, count, now = rng.randint(1, 12), rng.randint(5, 60), time.monotonic()
    moments = tuple(now + 0.1 + 0.02 * n for n in range(rng.randint(1, 40))) if seed % 2 else None
    tokens = rng.choice([None, 10.0 * rng.randint(1, 50)])
    lease = Lease(places, now + 30, moments, tokens)
    back = send(chat_bench, tmp_path / "mark", lease, count, cost=0.0 if tokens is None else 10.0)
    allowed = min(count, len(moments or range(count)), int((tokens or 10.0 * count) / 10))
    counts = gateway.counts
    assert counts.answered == sum(one.how == "ended" for one in back.backs) <= allowed
    assert counts.high_water <= places
    assert {one.how for one in back.backs} <= {"ended", "unsent"}
    if moments is None:
        assert counts.answered == allowed
    if tokens is not None:
        assert counts.tokens <= tokens


def test_a_lease_that_is_over_sends_the_rest_back(chat_bench: Bench, gateway: Gateway, tmp_path: Path) -> None:
    chat_bench.answers.rule = lambda body, n: Reply(said(body), latency=0.2)
    back = send(chat_bench, tmp_path / "mark", Lease(2, time.monotonic() + 0.5), 40)
    ended = [one.how for one in back.backs].count("ended")
    assert gateway.counts.total == ended < 40


def test_calls_that_are_not_wanted_any_more_are_not_sent(chat_bench: Bench, gateway: Gateway, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.write_text("3\n")
    back = send(chat_bench, mark, Lease(8, time.monotonic() + 30), 6)
    assert [one.how for one in back.backs] == ["ended"] * 3 + ["unsent"] + ["ended"] * 2
    gateway.reset()
    mark.write_text(f"3\n{ALL}\n")
    back = send(chat_bench, mark, Lease(8, time.monotonic() + 30), 6)
    assert {one.how for one in back.backs} == {"unsent"}
    assert gateway.counts.total == 0


def test_what_is_in_flight_when_a_chunk_is_withdrawn_still_comes_back(
    chat_bench: Bench, gateway: Gateway, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"

    def rule(body: dict[str, Any], n: int) -> Reply:
        if not mark.exists():
            threading.Thread(target=mark.write_text, args=(ALL,)).start()
        return Reply(said(body), latency=1.5)

    chat_bench.answers.rule = rule
    back = send(chat_bench, mark, Lease(3, time.monotonic() + 60), 30)
    assert [one.how for one in back.backs].count("ended") == 3 == gateway.counts.answered


@pytest.mark.parametrize(
    ("fault", "how", "kind"),
    [
        ("429_requests", "failed", "too_many_requests"),
        ("503_not_live", "failed", "model_not_live"),
        ("upstream_503", "failed", "upstream_trouble"),
        ("cut", "failed", "connection_cut"),
        ("null_content", "failed", "no_content"),
        ("401_inactive", "failed", "login"),
        ("length", "ended", "length_stop"),
    ],
)
def test_what_another_try_may_mend_is_left_to_the_driver(
    chat_bench: Bench, gateway: Gateway, tmp_path: Path, fault: str, how: str, kind: str
) -> None:
    chat_bench.answers.rule = lambda body, n: Reply(said(body), fault=fault)
    if fault == "401_inactive":
        gateway.expire_tokens()
    try:
        [back] = send(chat_bench, tmp_path / "mark", Lease(1, time.monotonic() + 30), 1).backs
    finally:
        gateway.token = gateway.issue_token() if fault == "401_inactive" else gateway.token
    assert back.outcome.error is not None
    assert (back.how, back.outcome.error.kind) == (how, kind)
    assert gateway.counts.total == 1
