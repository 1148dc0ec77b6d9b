"""``uses`` of a task that asks a model: its questions are calls of the run, each durable and reused on its own."""

from __future__ import annotations

from typing import Any

from engine_kit import Bench, entries, error_of, said

TASK = '''
    from metis_flow.tasks import Asking, task

    @task
    def best_of(text: str, drafts: int = 2) -> Asking[str]:
        """The best of several drafts."""
        from metis_flow.tasks import Ask

        made = yield [Ask.of(f"Draft: {text}", repeat=number) for number in range(drafts)]
        best = yield Ask.of("Choose: " + " | ".join(made))
        return best
'''
TEXT = """
    steps:
      best:
        uses: drafts.best_of
        with: {text: "${{ params.text }}"}
        model: {temperature: 0}
    params: {text: {type: string, default: hello}}
    outputs: {best: "${{ steps.best.output }}"}
"""


def chooser(body: dict[str, Any], n: int) -> str:
    """Drafts, and takes the first draft."""
    text = said(body)
    return text.removeprefix("Choose: ").split(" | ")[0] if text.startswith("Choose") else f"<{text}>"


def test_each_question_is_a_call_of_the_run(chat_bench: Bench) -> None:
    chat_bench.write("drafts.py", TASK)
    chat_bench.answers.rule = chooser
    run = chat_bench.run(TEXT.replace("drafts.best_of", "best_of"))
    assert run.status == "done", error_of(run, "best")
    assert run.outputs["best"] == "<Draft: hello>"
    assert run.state.calls == 3
    assert [e["call"]["messages"][-1]["content"] for e in entries(run, "answer")][-1].startswith("Choose: ")
    again = chat_bench.run(TEXT.replace("drafts.best_of", "best_of"))
    assert (again.state.calls, again.state.cached) == (0, 1)


def test_a_question_that_was_answered_is_not_put_again(chat_bench: Bench) -> None:
    chat_bench.write("drafts.py", TASK)
    chat_bench.answers.rule = chooser
    text = "limits: {calls: 2}\n" + "\n".join(line[4:] for line in TEXT.replace("drafts.", "").splitlines())
    run = chat_bench.run(text)
    assert (run.status, run.state.exit_code) == ("stopped", 4)
    assert len(entries(run, "answer")) == 2
    path = chat_bench.folder / "trial.yaml"
    path.write_text(path.read_text().replace("calls: 2", "calls: 9"))
    run.resume(accept=True)
    assert run.status == "done"
    assert run.state.calls == 3


def test_arguments_of_the_wrong_type_are_refused(chat_bench: Bench) -> None:
    chat_bench.write("drafts.py", TASK)
    run = chat_bench.run(TEXT.replace("drafts.", "").replace('{text: "', '{drafts: many, text: "'))
    assert "'with' does not fit the task" in error_of(run, "best")["summary"]
    assert run.state.calls == 0
