"""A workflow under test, with the answers that an earlier run recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import RecordError
from metis_flow.testing import Asked, Gateway, NoAnswer, answers, recorded
from metis_flow.testing.recorded_answers import Recorded, Recording

TEXT = """\
version: 1
name: kinds
model: one
params: {materials: {type: array, default: [silicon, copper]}, question: {type: string, default: What is}}
steps:
  ask:
    foreach: ${{ params.materials }}
    chat: "${{ params.question }} ${{ item }}?"
    output: {kind: {enum: [metal, semiconductor]}}
    repair: 1
outputs: {kinds: "${{ steps.ask.outputs }}"}
"""
KINDS = [{"kind": "semiconductor"}, {"kind": "metal"}]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kinds.yaml"
    path.write_text(TEXT)
    return path


def once_wrong(body: Any, n: int = 0) -> Any:
    """Right answers; the first about silicon is none."""
    messages = body["messages"] if isinstance(body, dict) else body.messages
    text = " ".join(message["content"] for message in messages)
    if "silicon" in text:
        return KINDS[0] if "That answer is wrong" in text else "Silicon is a semiconductor."
    return KINDS[1]


def test_a_run_is_answered_by_its_own_record(file: Path) -> None:
    with answers(lambda asked: once_wrong(asked)) as model:
        record = model.run(file, runs_dir=file.parent / "runs").folder.path
    kept = recorded(record).save(file.parent / "answers.jsonl")
    for source in (record, str(record), kept):
        with answers(recorded(source)) as model:
            assert model.run(file).outputs == {"kinds": KINDS}
            assert len(model.calls) == 3
            assert model.run(file).outputs == {"kinds": KINDS}


def test_a_record_of_a_server_without_response_format(file: Path) -> None:
    with Gateway(once_wrong, limits=None, any_model=True) as gateway:
        endpoint = gateway.write_endpoint(file.parent, gateway=None, supports={"response_format": "no"}, limits={})
        with answers({}) as model:
            record = model.run(file, endpoint=str(endpoint), runs_dir=file.parent / "runs").folder.path
    with answers(recorded(record)) as model:
        assert model.run(file).outputs == {"kinds": KINDS}
        assert model.calls[0].schema is None
        assert "JSON Schema" in str(model.calls[0].system)


def test_a_prompt_that_was_not_recorded(file: Path) -> None:
    with answers(lambda asked: once_wrong(asked)) as model:
        record = model.run(file, runs_dir=file.parent / "runs").folder.path
    with pytest.raises(NoAnswer) as caught, answers(recorded(record)) as model:
        model.run(file, {"materials": ["copper"], "question": "Which kind is"})
    assert str(caught.value) == (
        "nothing answers request 0:\n"
        "  user: Which kind is copper?\n"
        "the nearest recorded prompt differs (- recorded, + asked):\n"
        "  - user: What is copper?\n"
        "  + user: Which kind is copper?"
    )


def asked(model: str = "one", seed: int | None = None) -> Asked:
    settings = {} if seed is None else {"seed": seed}
    return Asked([{"role": "user", "content": "hi"}], model, settings)


def one(text: str, model: str = "one", seed: int | None = None) -> Recording:
    return Recording([{"role": "user", "content": "hi"}], model, seed, text)


def given(rule: Recorded, *requests: Asked) -> list[str | None]:
    return [reply.content if (reply := rule(request)) is not None else None for request in requests]


def test_several_answers_to_one_prompt_come_one_after_the_other() -> None:
    assert given(Recorded([one("a"), one("b")]), asked(), asked(), asked()) == ["a", "b", "a"]


def test_answers_of_the_same_model_and_seed_come_first() -> None:
    rule = Recorded([one("a", "x", 1), one("b", "y", 1), one("c", "y", 2)])
    assert given(rule, asked("y", 2), asked("y", 2), asked("y", 1), asked("x"), asked("z", 2)) == [
        "c",
        "c",
        "b",
        "a",
        "c",
    ]


def test_reasoning_comes_back() -> None:
    first = one("a")
    first.reasoning, first.finish = "because", "length"
    reply = Recorded([first])(asked())
    assert reply is not None
    assert (reply.reasoning, reply.finish_reason) == ("because", "length")


def test_nothing_recorded(file: Path) -> None:
    with pytest.raises(NoAnswer, match=r"the record holds no answers$"), answers(Recorded([])) as model:
        model.run(file, {"materials": ["copper"]})


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="gone"):
        recorded(tmp_path / "gone")
    (tmp_path / "bad.jsonl").write_text('{"messages": [], "text": "a"}\n{"text": 1}\n')
    with pytest.raises(RecordError) as caught:
        recorded(tmp_path / "bad.jsonl")
    assert caught.value.render() == f"{tmp_path / 'bad.jsonl'}:2: this is no recorded answer\n  hint: record it again"
