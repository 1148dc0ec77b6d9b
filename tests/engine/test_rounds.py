"""``until`` and ``max_rounds``: a step is run again, with what it gave before, until it is good."""

from __future__ import annotations

from typing import Any

import pytest
from engine_kit import Bench, entries, error_of, said

REFINE = """
    steps:
      refine:
        chat: "Round ${{ round }} after ${{ previous.text if previous else 'nothing' }}"
        output: {text: string, good: boolean}
        until: output.good
        max_rounds: 4
    outputs: {text: "${{ steps.refine.output.text }}"}
"""


def third_is_good(body: dict[str, Any], n: int) -> dict[str, Any]:
    """Answers the words of the question; good from the third round on."""
    text = said(body)
    return {"text": text, "good": "Round 2" in text}


def test_each_round_sees_what_came_before(chat_bench: Bench) -> None:
    chat_bench.answers.rule = third_is_good
    run = chat_bench.run(REFINE)
    first = "Round 0 after nothing"
    assert run.outputs["text"] == f"Round 2 after Round 1 after {first}"
    assert [e["output"]["text"] for e in entries(run, "answer")] == [first, f"Round 1 after {first}"]
    assert len(entries(run, "done")) == 1
    assert run.state.calls == 3


def test_rounds_that_run_out_are_a_failure_that_keeps_the_last_output(chat_bench: Bench) -> None:
    chat_bench.answers.rule = lambda body, n: {"text": said(body), "good": False}
    run = chat_bench.run(REFINE)
    assert run.status == "failed"
    assert error_of(run, "refine")["summary"] == "'until' does not hold, and 4 rounds are over"
    (failed,) = entries(run, "failed")
    assert failed["output"]["text"].startswith("Round 3 after Round 2")


def test_a_script_may_go_in_rounds_too(bench: Bench) -> None:
    run = bench.run(
        """
        steps:
          count:
            stdin: ${{ 0 if previous is none else previous }}
            run: echo $(( $(cat) + 1 ))
            output: {json: stdout}
            until: output >= 3
            max_rounds: 9
        """
    )
    assert run.status == "done"
    assert [e["output"] for e in entries(run, "answer")] == [1, 2]
    assert [row["output"] for row in run.rows("count")] == [3]


def test_a_resume_asks_no_round_again(chat_bench: Bench) -> None:
    text = "limits: {calls: 2}\n" + REFINE.replace("\n    ", "\n")
    chat_bench.answers.rule = third_is_good
    run = chat_bench.run(text)
    assert (run.status, run.state.exit_code) == ("stopped", 4)
    path = chat_bench.folder / "trial.yaml"
    path.write_text(path.read_text().replace("calls: 2", "calls: 9"))
    run.resume(accept=True)
    assert run.status == "done"
    assert run.state.calls == 3


def test_a_second_run_takes_every_round_from_the_first(chat_bench: Bench) -> None:
    chat_bench.answers.rule = third_is_good
    text = REFINE.replace("chat: ", "chat: {temperature: 0, user: ").replace("'nothing' }}\"", "'nothing' }}\"}")
    first = chat_bench.run(text)
    second = chat_bench.run(text)
    assert (second.state.calls, second.state.cached) == (0, 1)
    assert second.outputs == first.outputs


@pytest.mark.parametrize("seed", [None, 7])
def test_repeats_are_samples_of_their_own(chat_bench: Bench, seed: int | None) -> None:
    seeds: list[int | None] = []

    def rule(body: dict[str, Any], n: int) -> str:
        seeds.append(body.get("seed"))
        return str(n)

    chat_bench.answers.rule = rule
    setting = f", seed: {seed}" if seed is not None else ""
    run = chat_bench.run(f"steps: {{a: {{repeat: 3, chat: {{user: hi{setting}}}}}}}")
    assert [row["key"] for row in run.rows("a")] == ["repeat=0", "repeat=1", "repeat=2"]
    assert sorted(seeds, key=str) == ([7, 8, 9] if seed is not None else [None] * 3)
    assert len({e["ck"] for e in entries(run, "done")}) == 3


def test_a_step_goes_on_from_the_conversation_of_another(chat_bench: Bench) -> None:
    bodies: list[list[dict[str, Any]]] = []

    def rule(body: dict[str, Any], n: int) -> str:
        bodies.append(body["messages"])
        return f"answer {len(bodies)}"

    chat_bench.answers.rule = rule
    text = """
        steps:
          draft: {chat: {system: Be brief., user: First?, temperature: 0}}
          more:
            chat:
              messages: ["${{ steps.draft.messages }}", {role: user, content: And then?}]
              temperature: 0
    """
    chat_bench.run(text)
    assert [(m["role"], m["content"]) for m in bodies[1]] == [
        ("system", "Be brief."),
        ("user", "First?"),
        ("assistant", "answer 1"),
        ("user", "And then?"),
    ]
    again = chat_bench.run(text.replace("And then?", "And now?"))
    assert again.state.calls == 1  # the conversation came from the earlier run
    assert bodies[2][2]["content"] == "answer 1"
