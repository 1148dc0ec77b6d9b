"""An instance's content key is its own, whichever instances came before it, and is always made in the same way."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from engine_kit import MODEL, Bench, entries, said

from metis_flow.tasks import find_task, source_hash

CHILD = """
    version: 1
    name: child
    params: {x: {type: string}}
    steps: {only: {python: "work:same", with: {x: "${{ params.x }}"}}}
    outputs: {x: "${{ steps.only.output }}"}
"""
TASK = '''
    from metis_flow.tasks import Asking, task

    @task
    def again(text: str) -> Asking[str]:
        """What the model says of a text."""
        from metis_flow.tasks import Ask

        said = yield [Ask.of(text)]
        return said[0]
'''
ITEMS: list[dict[str, Any]] = [
    {"id": "a", "text": "one", "t": 0, "m": "gpt-oss-120b"},
    {"id": "b", "text": "two", "t": 0.0, "m": "gpt-oss-120b-131072"},
    {"id": "c", "text": "two", "t": 1, "m": "gpt-oss-120b-131072"},
]
TEXT = "${{ item.text }}"
SAME: dict[str, Any] = {"function": "work:same", "schema": None, "check": None, "named": {}}
SCRIPT: dict[str, Any] = {
    "env": {},
    "args": [],
    "stdin": None,
    "files": {},
    "output": ["stdout", None, None],
    "named": {},
    "check": None,
}
CHAT: dict[str, Any] = {"model": MODEL, "settings": {}, "schema": None, "check": None}


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


# What stands in the file for a step, and the parts of its first instance's key, those left out that need the folder.
STEPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "chat": ({"chat": f"Say {TEXT}"}, CHAT | {"prompt": user("Say one")}),
    "model": (
        {"chat": {"user": "Say it", "model": "${{ item.m }}"}},
        CHAT | {"prompt": user("Say it"), "model": "gpt-oss-120b"},
    ),
    "setting": (
        {"chat": {"user": "Say it", "temperature": "${{ item.t }}"}},
        CHAT | {"prompt": user("Say it"), "settings": {"temperature": 0}},
    ),
    "constant": (
        {"chat": {"user": f"Say {TEXT}", "temperature": 0.0}},
        CHAT | {"prompt": user("Say one"), "settings": {"temperature": 0.0}},
    ),
    "seed": (
        {"chat": {"user": "Say it", "seed": 7}, "repeat": 2},
        CHAT | {"prompt": user("Say it"), "settings": {"seed": 7}, "repeat": 0},
    ),
    "rounds": (
        {"chat": {"user": "Say it", "seed": 7}, "until": "round >= 1", "max_rounds": 2},
        CHAT | {"prompt": user("Say it"), "settings": {"seed": 7}, "round": 0},
    ),
    "check": (
        {"chat": f"Say {TEXT}", "check": "output != params.never"},
        CHAT
        | {"prompt": user("Say one")}
        | {"check": {"source": "${{ output != params.never }}", "params": {"never": "no"}, "names": {}, "steps": []}},
    ),
    "item_check": (
        {"chat": "Say it", "check": "output != item.text"},
        CHAT
        | {"prompt": user("Say it")}
        | {"check": {"source": "${{ output != item.text }}", "params": {}, "names": {"item": ITEMS[0]}, "steps": []}},
    ),
    "function": ({"python": "work:same", "with": {"x": TEXT}}, SAME | {"with": {"x": "one"}}),
    "asking": (
        {"uses": "again", "with": {"text": TEXT}, "model": {"temperature": 0}},
        SAME | CHAT | {"function": "again", "with": {"text": "one"}, "settings": {"temperature": 0}},
    ),
    "stdin": ({"run": "cat", "stdin": TEXT}, SCRIPT | {"script": "cat", "stdin": "one"}),
    "env": (
        {"run": "echo $X", "env": {"X": TEXT, "Y": "y"}, "args": ["x"]},
        SCRIPT | {"script": "echo $X", "env": {"X": "one", "Y": "y"}, "args": ["x"]},
    ),
    "args": ({"run": "echo $1", "args": [TEXT]}, SCRIPT | {"script": "echo $1", "args": ["one"]}),
    "files": ({"run": "cat a", "files": {"a": TEXT}}, SCRIPT | {"script": "cat a", "files": {"a": {"content": "one"}}}),
    "workflow": (
        {"workflow": "child.yaml", "with": {"x": TEXT}},
        {"with": {"x": "one"}, "model": [None, None], "schema": None, "check": None},
    ),
}


def digest(parts: dict[str, Any]) -> str:
    """The content key of plain parts, put as simply as it can be."""

    def sha256(value: Any, **form: Any) -> str:
        return hashlib.sha256(json.dumps(value, sort_keys=True, **form).encode()).hexdigest()

    return sha256({name: sha256(value, ensure_ascii=False, separators=(",", ":")) for name, value in parts.items()})


def keys(bench: Bench, items: list[dict[str, Any]]) -> dict[tuple[str, str, str], str]:
    """Every content key of a run over some items, by step, instance and kind of entry."""
    of_all = {"foreach": items, "key": "${{ item.id }}"}
    steps = {name: {**of_all, **step} for name, (step, _) in STEPS.items()}
    run = bench.run(f"params: {{never: {{type: string, default: 'no'}}}}\nsteps: {json.dumps(steps)}", cache=False)
    assert run.status == "done", run.state.reason
    return {(e["step"], e["key"], e["e"]): e["ck"] for e in entries(run) if "ck" in e}


@pytest.fixture
def full_bench(chat_bench: Bench) -> Bench:
    chat_bench.answers.rule = lambda body, n: said(body)
    chat_bench.write("work.py", "def same(x):\n    return x\n")
    chat_bench.write("echoes.py", TASK)
    chat_bench.write("child.yaml", CHILD)
    return chat_bench


def test_a_key_does_not_depend_on_the_instances_before(full_bench: Bench) -> None:
    alone = {place: key for item in ITEMS for place, key in keys(full_bench, [item]).items()}
    assert {step for step, _, _ in alone} == set(STEPS)
    assert keys(full_bench, ITEMS) == alone
    assert keys(full_bench, ITEMS[::-1]) == alone


def test_what_is_left_to_chance_counts_as_it_came_out(chat_bench: Bench) -> None:
    text = "{a: {foreach: [1, 2, 3], chat: {user: Say it, seed: '${{ range(10 ** 7) | random }}'}}}"
    run = chat_bench.run(f"steps: {text}")
    assert len({e["ck"] for e in entries(run, "done")}) == 3


def test_how_a_key_is_made(full_bench: Bench) -> None:
    folder = full_bench.folder
    same = source_hash("work:same", folder)
    more: dict[str, dict[str, Any]] = {
        "function": {"source": same},
        "asking": {"source": find_task("again", folder).source_hash},
        "workflow": {"source": {"only": same}, "workflow": [(folder / "child.yaml").read_text(encoding="utf-8"), {}]},
    }
    expected = {name: digest({**parts, **more.get(name, {})}) for name, (_, parts) in STEPS.items()}
    found = keys(full_bench, ITEMS[:1])
    found |= {("seed", "a", "done"): found["seed", "a,repeat=0", "done"]}
    found |= {("rounds", "a", "done"): found["rounds", "a", "answer"]}  # of its first round
    assert {name: found[name, "a", "done"] for name in STEPS} == expected


def test_each_repeat_and_round_counts_with_its_own_seed(full_bench: Bench) -> None:
    found = keys(full_bench, ITEMS[:1])
    parts = CHAT | {"prompt": user("Say it"), "settings": {"seed": 8}}
    assert found["seed", "a,repeat=1", "done"] == digest(parts | {"repeat": 1})
    assert found["rounds", "a", "done"] == digest(parts | {"round": 1})
