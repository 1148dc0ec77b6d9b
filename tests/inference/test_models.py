"""The models of an endpoint, against the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from inference_kit import HastyClock, Reply, completion, get, opened, serving

from metis_flow.errors import ConfigError
from metis_flow.inference import models
from metis_flow.inference.client import Inference
from metis_flow.inference.endpoints import find_endpoint
from metis_flow.inference.models import ModelInfo, check_models, list_models, whoami
from metis_flow.testing import Gateway, Model


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    kinds = [
        Model("gpt-oss-120b-131072", tokens_per_minute_user=0, tokens_per_minute_model=0),
        Model("DeepSeek-R1-0528", description="DeepSeek-R1 on SN40L", context_window=32_768),
        Model("gpt-oss-120b", tokens_per_minute_user=500, tokens_per_minute_model=900, context_window=None),
        Model("unlisted", on_status_page=False),
    ]
    with Gateway(rule=lambda body, n: "fine", models=kinds, limits=None, speed=600.0) as found:
        yield found


def run(gateway: Gateway, folder: Path, main: Callable[[Inference], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    async def opened_main() -> Any:
        path = gateway.write_endpoint(folder, limits={"tokens_per_minute": 60_000})
        async with opened(find_endpoint(str(path)), **options) as inference:
            return await main(inference)

    return asyncio.run(opened_main())


def test_models_with_status_context_and_limits(gateway: Gateway, tmp_path: Path) -> None:
    gateway.set_status("DeepSeek-R1-0528", "Starting", at_once=True)
    found = {model.name: model for model in run(gateway, tmp_path, list_models)}
    assert list(found) == ["gpt-oss-120b-131072", "DeepSeek-R1-0528", "gpt-oss-120b", "unlisted"]
    assert found["DeepSeek-R1-0528"].status == "Starting"
    assert found["DeepSeek-R1-0528"].context == 32_768
    assert "DeepSeek-R1 on SN40L" in found["DeepSeek-R1-0528"].description
    assert found["gpt-oss-120b"].status == "Live"
    assert found["gpt-oss-120b"].context is None
    assert found["gpt-oss-120b"].tokens_per_minute_user == 500
    assert found["gpt-oss-120b"].tokens_per_minute == 500
    assert found["gpt-oss-120b-131072"].tokens_per_minute is None
    assert found["unlisted"].status == "Offline", "calls of a model that the status page does not know are refused"


@pytest.mark.parametrize(
    ("word", "shown"),
    [("Live", "Live"), ("Starting", "Starting"), ("Queued", "Queued"), ("Offline", "Offline"), ("Stopped", "Stopped"),
     ("", "Offline")],
)  # fmt: skip
def test_status_in_alcfs_words(gateway: Gateway, tmp_path: Path, word: str, shown: str) -> None:
    gateway.set_status("gpt-oss-120b", word, at_once=True)
    found = {model.name: model.status for model in run(gateway, tmp_path, list_models)}
    assert found["gpt-oss-120b"] == shown


def test_under_maintenance(gateway: Gateway, tmp_path: Path) -> None:
    gateway.set_maintenance("back on Monday")
    assert {model.status for model in run(gateway, tmp_path, list_models)} == {"Maintenance"}
    with pytest.raises(ConfigError) as caught:
        run(gateway, tmp_path, lambda inference: check_models(inference, ["gpt-oss-120b"]))
    assert caught.value.summary == "the model 'gpt-oss-120b' cannot be asked: the cluster is under maintenance"
    assert caught.value.hint == "see https://metis.alcf.anl.gov/status; --wait any waits for its end"


def test_who_one_is(gateway: Gateway, tmp_path: Path) -> None:
    assert run(gateway, tmp_path, whoami)["username"] == "ada@anl.gov"


def test_a_check_takes_up_the_limits_that_the_gateway_tells(gateway: Gateway, tmp_path: Path) -> None:
    async def main(inference: Inference) -> dict[str, int | None]:
        names = ["gpt-oss-120b", "GPT-OSS-120b-131072 "]
        found = await check_models(inference, names)
        assert [model.name for model in found] == ["gpt-oss-120b", "gpt-oss-120b-131072"]
        return {name: inference.limiter.gate(name).tokens_per_minute for name in names}

    assert run(gateway, tmp_path, main) == {"gpt-oss-120b": 500, "GPT-OSS-120b-131072 ": 60_000}


def test_an_unknown_model_gets_a_suggestion(gateway: Gateway, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        run(gateway, tmp_path, lambda inference: check_models(inference, ["openai/gpt-oss-120b"]))
    assert caught.value.summary == "the endpoint 'metis' has no model 'openai/gpt-oss-120b'"
    assert caught.value.hint == "did you mean 'gpt-oss-120b'?"


REFUSALS = [
    ("Starting", None, "the model 'DeepSeek-R1-0528' is Starting, not yet Live", "wait for it: --wait"),
    ("Queued", None, "the model 'DeepSeek-R1-0528' is Queued, not yet Live", "wait for it: --wait"),
    (
        "Offline",
        "coming",
        "the model 'DeepSeek-R1-0528' is Offline, and a call does not start it",
        "choose a live one, ask support@alcf.anl.gov to start it, or wait until somebody does: --wait any",
    ),
    (
        "Stopped",
        None,
        "the model 'DeepSeek-R1-0528' is Stopped, and a call does not start it",
        "choose a live one, ask support@alcf.anl.gov to start it, or wait until somebody does: --wait any",
    ),
]


@pytest.mark.parametrize(("status", "wait", "summary", "hint"), REFUSALS)
def test_a_model_that_is_not_live_is_refused(
    gateway: Gateway, tmp_path: Path, status: str, wait: models.Wait | None, summary: str, hint: str
) -> None:
    gateway.set_status("DeepSeek-R1-0528", status, at_once=True)
    with pytest.raises(ConfigError) as caught:
        run(gateway, tmp_path, lambda inference: check_models(inference, ["DeepSeek-R1-0528"], wait=wait))
    assert (caught.value.summary, caught.value.hint) == (summary, hint)
    assert caught.value.detail == "live now: gpt-oss-120b-131072, gpt-oss-120b"


@pytest.mark.parametrize(("status", "wait"), [("Queued", "coming"), ("Starting", "any"), ("Offline", "any")])
def test_who_waits_is_told_and_goes_on(gateway: Gateway, tmp_path: Path, status: str, wait: models.Wait) -> None:
    gateway.set_status("DeepSeek-R1-0528", status, at_once=True)
    told: list[str] = []

    def progress(text: str) -> None:
        told.append(text)
        if len(told) == 2:
            gateway.set_status("DeepSeek-R1-0528", "Live", at_once=True)

    async def main(inference: Inference) -> list[ModelInfo]:
        return await check_models(inference, ["DeepSeek-R1-0528"], wait=wait, progress=progress)

    (found,) = run(gateway, tmp_path, main, clock=HastyClock())
    assert found.status == "Live"
    assert told == [f"waiting for DeepSeek-R1-0528 ({status})"] * 2


def test_a_broken_status_page_is_asked_again(gateway: Gateway, tmp_path: Path) -> None:
    gateway.set_status_page("broken", at_once=True)

    class Mending(HastyClock):
        def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.Handle:
            if len(self.waits) == 3:
                gateway.set_status_page("ok", at_once=True)
            return super().call_at(when, callback)

    clock = Mending()
    (found,) = run(gateway, tmp_path, lambda inference: check_models(inference, ["gpt-oss-120b"]), clock=clock)
    assert found.status == "Live"
    assert clock.waits[:3] == [1.0, 2.0, 4.0]


def plain(handler: Callable[[Any, int], Reply], names: list[str], **fields: Any) -> list[ModelInfo]:
    async def main() -> list[ModelInfo]:
        async with serving(handler) as server, opened(server.endpoint(**fields)) as inference:
            return await check_models(inference, names)

    return asyncio.run(main())


def test_any_other_server_is_asked_for_its_list() -> None:
    listed = Reply({"object": "list", "data": [{"id": "llama-3"}]})
    assert plain(lambda body, n: listed, ["llama-3"]) == [ModelInfo("llama-3")]
    with pytest.raises(ConfigError, match="the endpoint 'local' has no model 'llama-4'"):
        plain(lambda body, n: listed, ["llama-4"])


def test_a_server_without_a_list_is_taken_at_its_files_word() -> None:
    nothing = Reply("not found", status=404)
    assert plain(lambda body, n: nothing, ["anything"]) == []
    with pytest.raises(ConfigError, match="has no model 'x'"):
        plain(lambda body, n: nothing, ["x"], models=["gpt-oss-120b"])


def test_the_list_counts_as_a_request_and_not_as_tokens() -> None:
    async def main() -> None:
        async with serving(lambda body, n: completion() if body else Reply({"data": []})) as server:
            endpoint = server.endpoint(limits={"requests_per_second": 4, "tokens_per_minute": 100})
            clock = HastyClock()
            async with opened(endpoint, clock=clock) as inference:
                await list_models(inference)
                await get(inference)
                assert clock.waits == [pytest.approx(1 / 3.8 - 0.02, abs=0.001)]
                assert inference.snapshot().tokens_per_minute == {"m": 10}

    asyncio.run(main())
