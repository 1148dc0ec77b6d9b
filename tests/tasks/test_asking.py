"""Tasks that ask: driven by hand, one question after the other or at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from metis_flow.errors import TaskFailed
from metis_flow.tasks import Ask, Asking, drive, drive_async


def debate(text: str) -> Asking[list[Any]]:
    first = yield Ask.of(text, "Be brief.")
    both = yield [Ask.of(f"{first} {number}", repeat=number) for number in range(2)]
    nothing = yield []
    return [first, both, nothing]


def test_answers_come_back_as_they_were_asked() -> None:
    asked: list[Ask] = []

    def answer(ask: Ask) -> str:
        asked.append(ask)
        return f"<{ask.messages[-1]['content']}>"

    assert drive(debate("hi"), answer) == ["<hi>", ["<<hi> 0>", "<<hi> 1>"], []]
    assert [ask.repeat for ask in asked] == [0, 0, 1]
    assert asked[0].messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]


def test_the_same_answers_give_the_same_questions() -> None:
    def asked() -> list[Ask]:
        found: list[Ask] = []

        def answer(ask: Ask) -> str:
            found.append(ask)
            return "x"

        drive(debate("hi"), answer)
        return found

    assert asked() == asked()


def test_questions_of_one_yield_are_out_at_once() -> None:
    out, most = 0, 0

    async def answer(ask: Ask) -> str:
        nonlocal out, most
        out += 1
        most = max(most, out)
        await asyncio.sleep(0.01)
        out -= 1
        return str(ask.repeat)

    assert asyncio.run(drive_async(debate("hi"), answer)) == ["0", ["0", "1"], []]
    assert most == 2


def test_a_failure_waits_for_the_others_and_ends_the_task() -> None:
    done: list[int] = []
    ended: list[str] = []

    def asks() -> Asking[str]:
        try:
            yield [Ask.of("a", repeat=number) for number in range(3)]
        finally:
            ended.append("closed")
        return "never"

    async def answer(ask: Ask) -> str:
        if ask.repeat == 0:
            raise ValueError("no answer")
        await asyncio.sleep(0.01 * ask.repeat)
        done.append(ask.repeat)
        return "x"

    with pytest.raises(ValueError, match=r"^no answer$"):
        asyncio.run(drive_async(asks(), answer))
    assert done == [1, 2]
    assert ended == ["closed"]


@pytest.mark.parametrize("yielded", ["hello", ["hello"], None, ({},)])
def test_what_is_no_question(yielded: Any) -> None:
    def asks() -> Asking[str]:
        yield yielded
        return "never"

    with pytest.raises(TaskFailed, match=r"which is no question$") as caught:
        drive(asks(), lambda ask: "x")
    assert caught.value.hint == "yield Ask(…), or a list of them; what it gives back is returned"


def test_a_task_may_return_without_asking() -> None:
    def asks(text: str) -> Asking[str]:
        if text:
            yield Ask.of(text)
        return "nothing"

    assert drive(asks(""), lambda ask: "x") == "nothing"
    assert asyncio.run(drive_async(asks(""), None)) == "nothing"  # type: ignore[arg-type]
