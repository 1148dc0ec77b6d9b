"""The client against the local gateway, which refuses, breaks and limits as the real one does."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from inference_kit import get, opened

from metis_flow.errors import LoginRequired, MetisFlowError
from metis_flow.inference import errors
from metis_flow.inference.answers import Answer, ChatRequest
from metis_flow.inference.client import Inference
from metis_flow.inference.clock import WallClock
from metis_flow.inference.endpoints import find_endpoint
from metis_flow.inference.structured import Ask, Exchange, ask
from metis_flow.testing import Faults, Gateway, Limits, Spell

MODEL = "gpt-oss-120b"
SPEED = 200.0


def echo(body: dict[str, Any], n: int) -> str:
    return f"echo of {body['messages'][-1]['content']}"


def against(gateway: Gateway, folder: Path, main: Any, speed: float = SPEED, **fields: Any) -> Any:
    async def opened_main() -> Any:
        path = gateway.write_endpoint(folder, **fields)
        async with opened(find_endpoint(str(path)), clock=WallClock(speed)) as inference:
            return await main(inference)

    return asyncio.run(opened_main())


PASSING = [
    ("429_requests", "too_many_requests"),
    ("429_nginx", "too_many_requests"),
    ("429_tokens", "tokens_exhausted"),
    ("429_upstream", "upstream_busy"),
    ("500_internal", "internal_trouble"),
    ("500_jobs", "status_page_broken"),
    ("502", "bad_gateway"),
    ("503_maintenance", "under_maintenance"),
    ("503_not_live", "model_not_live"),
    ("504", "gateway_timeout"),
    ("504_jobs", "status_page_broken"),
    ("refused", "upstream_trouble"),
    ("dropped", "upstream_trouble"),
    ("upstream_500", "upstream_trouble"),
    ("upstream_503", "upstream_trouble"),
    ("upstream_not_json", "internal_trouble"),
    ("cut", "connection_cut"),
    ("cut_mid", "connection_cut"),
    ("not_json", "not_json"),
    ("null_content", "no_content"),
    ("empty_content", "no_content"),
    ("reasoning", "no_content"),
    ("markup", "leaked_markup"),
    ("401_globus", "login_service_down"),
]


@pytest.mark.parametrize(("fault", "kind"), PASSING)
def test_a_fault_that_passes_is_waited_out(tmp_path: Path, fault: str, kind: str) -> None:
    with Gateway(rule=echo, limits=None, speed=SPEED) as gateway:
        gateway.fail_next(fault)

        async def main(inference: Inference) -> Answer:
            answer = await get(inference, "hi", model=MODEL)
            assert inference.snapshot().retries == {kind: 1}
            return answer

        assert against(gateway, tmp_path, main).text == "echo of hi"


FINAL = [
    ("length", errors.LengthStop),
    ("upstream_400", errors.InvalidRequest),
    ("upstream_401", errors.UpstreamKeyRefused),
    ("upstream_404", errors.UnknownModel),
    ("upstream_413", errors.TooLarge),
    ("upstream_422", errors.InvalidRequest),
]


@pytest.mark.parametrize(("fault", "kind"), FINAL)
def test_a_fault_that_cannot_get_better_is_final(tmp_path: Path, fault: str, kind: type[MetisFlowError]) -> None:
    with Gateway(rule=echo, limits=None, speed=SPEED) as gateway:
        gateway.fail_next(fault)

        async def main(inference: Inference) -> None:
            with pytest.raises(kind):
                await get(inference, "hi", model=MODEL)

        against(gateway, tmp_path, main)
        assert len(gateway.calls) == 1


@pytest.mark.parametrize("problem", ["inactive", "expired", "domain", "policy", "group", "service_group"])
def test_a_person_who_is_refused_has_to_log_in(tmp_path: Path, problem: str) -> None:
    with Gateway(rule=echo, limits=None, speed=SPEED) as gateway:
        gateway.token = gateway.issue_token(problem=problem)

        async def main(inference: Inference) -> None:
            with pytest.raises(LoginRequired) as caught:
                await get(inference, "hi", model=MODEL)
            assert gateway.token not in caught.value.render()

        against(gateway, tmp_path, main)


def test_reasoning_is_split_off(tmp_path: Path) -> None:
    with Gateway(rule=echo, limits=None, speed=SPEED) as gateway:
        gateway.fail_next("think")
        answer = against(gateway, tmp_path, lambda inference: get(inference, "hi", model=MODEL))
        assert answer.text == "echo of hi"
        assert answer.reasoning


@pytest.mark.parametrize("fault", ["refused", "dropped", "sse_error", "no_done", "stalled"])
def test_a_stream_that_fails_with_status_200(tmp_path: Path, fault: str) -> None:
    with Gateway(rule=echo, limits=None, speed=SPEED) as gateway:
        gateway.fail_next(fault)

        async def main(inference: Inference) -> None:
            answer = await get(inference, "hi", model=MODEL, stream=True)
            assert answer.text == "echo of hi"
            assert sum(inference.snapshot().retries.values()) == 1
            assert set(inference.snapshot().retries) <= {"error_as_answer", "cut_stream"}

        against(gateway, tmp_path, main)


def test_a_body_that_is_too_big_for_the_gateway(tmp_path: Path) -> None:
    with Gateway(rule=echo, limits=None) as gateway:

        async def main(inference: Inference) -> None:
            with pytest.raises(errors.TooLarge):
                await get(inference, "x" * 2_700_000, model=MODEL)

        against(gateway, tmp_path, main)


def test_a_run_with_all_faults_loses_and_doubles_nothing(tmp_path: Path) -> None:
    faults = Faults(
        seed=3,
        rate={
            "429_requests": 0.025, "429_upstream": 0.025, "500": 0.01, "502": 0.01, "504": 0.01,
            "cut": 0.01, "not_json": 0.01, "null_content": 0.005,
        },
        spells=[Spell("not_live", 200, calls=5), Spell("globus_outage", 500, seconds=90.0)],
    )  # fmt: skip
    count = 1000
    with Gateway(rule=echo, limits=None, speed=SPEED, faults=faults) as gateway:

        async def main(inference: Inference) -> Counter[str]:
            recorded: Counter[str] = Counter()

            async def one(n: int) -> None:
                async def settle(answer: Answer) -> None:
                    assert answer.text == f"echo of item {n}"
                    recorded[answer.text] += 1

                await inference.call(ChatRequest(MODEL, [{"role": "user", "content": f"item {n}"}]), settle)

            await asyncio.gather(*(one(n) for n in range(count)))
            assert inference.snapshot().retries.keys() >= {
                "too_many_requests", "upstream_busy", "bad_gateway", "gateway_timeout", "connection_cut", "not_json",
                "no_content", "model_not_live", "login_service_down",
            }  # fmt: skip
            return recorded

        recorded = against(gateway, tmp_path, main, limits={})
    assert len(recorded) == count
    assert set(recorded.values()) == {1}


def test_the_gateways_limits_are_kept(tmp_path: Path) -> None:
    limits = Limits(requests_per_second=10, tokens_per_minute_user=2000, tokens_per_minute_model=4000)
    speed = 40.0
    with Gateway(rule=lambda body, n: "word " * 40, limits=limits, speed=speed) as gateway:

        async def main(inference: Inference) -> None:
            await asyncio.gather(*(get(inference, f"item {n}", model=MODEL, max_tokens=60) for n in range(90)))
            assert inference.snapshot().retries.get("tokens_exhausted", 0) <= 2

        told = {"requests_per_second": 10, "tokens_per_minute": {"user": 2000, "model": 4000}}
        against(gateway, tmp_path, main, speed, limits=told)


def test_structured_answers(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"gap": {"type": "number"}}, "required": ["gap"]}

    async def keep(exchange: Exchange) -> None:
        pass

    async def main(inference: Inference) -> Exchange:
        return await ask(inference, Ask(ChatRequest(MODEL, [{"role": "user", "content": "Si?"}]), schema), keep)

    with Gateway(rule=lambda body, n: '{"gap": 1.1}', limits=None) as gateway:
        assert against(gateway, tmp_path, main).output == {"gap": 1.1}
    with Gateway(rule=lambda body, n: '{"gap": 1.1}', limits=None) as gateway:
        gateway.fail_next("upstream_400")
        assert against(gateway, tmp_path, main).output == {"gap": 1.1}
        assert ["response_format" in call.body for call in gateway.calls if call.body] == [True, False]
