"""Chat steps: text and structured answers, repair, check, reasoning, settings, timeouts, endpoints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from engine_kit import MODEL, Bench, Rule, entries, error_of, rows, said

from metis_flow import Workflow
from metis_flow.errors import ConfigError
from metis_flow.inference.endpoints import list_endpoints
from metis_flow.testing import Reply


def asked(bench: Bench) -> list[dict[str, Any]]:
    """The bodies of the chat requests so far, in order."""
    assert bench.gateway is not None
    return [call.body for call in bench.gateway.calls if call.body is not None]


def in_turn(*replies: Any) -> Rule:
    """Answer these, one after the other."""
    left = list(replies)
    return lambda body, n: left.pop(0)


def test_a_text_is_the_result(chat_bench: Bench) -> None:
    run = chat_bench.run("""
        params: {who: {type: string, default: world}}
        steps:
          a: {chat: "Hello ${{ params.who }}"}
          b: {chat: {system: Be brief., user: "Repeat: ${{ steps.a.output }}"}}
        outputs: {b: "${{ steps.b.output }}"}
        """)
    assert run.outputs == {"b": "Repeat: Hello world"}
    assert [body["messages"] for body in asked(chat_bench)] == [
        [{"role": "user", "content": "Hello world"}],
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Repeat: Hello world"}],
    ]
    assert run.state.calls == 2
    assert run.state.usage.total_tokens > 0


def test_messages_go_before_the_user_and_texts_may_come_from_files(chat_bench: Bench) -> None:
    chat_bench.write(
        "prompts/ask.md", "Name ${{ params.n }} metals.${% for w in params.words %} ${{ w }}${% endfor %}\n"
    )
    run = chat_bench.run("""
        params: {n: {type: integer, default: 3}, words: {type: array, default: [iron, gold]}}
        steps:
          a:
            chat:
              system: s
              messages:
                - {role: user, content: one}
                - {role: assistant, content: "two ${{ params.n }}"}
              user: {from: prompts/ask.md}
        outputs: {a: "${{ steps.a.output }}"}
        """)
    assert run.outputs == {"a": "Name 3 metals. iron gold\n"}
    assert [m["content"] for m in asked(chat_bench)[0]["messages"]] == [
        "s",
        "one",
        "two 3",
        "Name 3 metals. iron gold\n",
    ]
    assert (
        run.folder.sources / "prompts" / "ask.md"
    ).read_text() == "Name ${{ params.n }} metals.${% for w in params.words %} ${{ w }}${% endfor %}\n"


def test_settings_of_the_step_go_over_those_of_the_workflow(chat_bench: Bench) -> None:
    chat_bench.run("""
        params: {t: {type: number, default: 0.5}}
        steps:
          a: {chat: {user: a, temperature: "${{ params.t }}", max_tokens: 7, stop: [x], extra: {min_p: 0.1}}}
          b: {needs: a, chat: {user: b, model: {name: DeepSeek-R1-0528, seed: 5}}}
          c: {needs: b, chat: {user: c, model: DeepSeek-R1-0528, seed: 9}}
        """)
    a, b, c = ({k: v for k, v in body.items() if k not in ("messages", "stream")} for body in asked(chat_bench))
    assert a == {"model": MODEL, "temperature": 0.5, "max_tokens": 7, "stop": ["x"], "min_p": 0.1}
    assert b == {"model": "DeepSeek-R1-0528", "seed": 5}
    assert c == {"model": "DeepSeek-R1-0528", "seed": 9}


STRUCTURED = """
    steps:
      a:
        chat: {system: You know metals., user: iron}
        output: {name: string, n: {type: integer, minimum: 1}, note?: string}
        repair: 1
    outputs: {a: "${{ steps.a.output }}"}
"""


def test_response_format_is_used_where_it_is_honoured(chat_bench: Bench) -> None:
    chat_bench.answers.rule = lambda body, n: {"name": "iron", "n": 26}
    run = chat_bench.run(STRUCTURED)
    assert run.outputs == {"a": {"name": "iron", "n": 26}}
    (body,) = asked(chat_bench)
    assert body["response_format"]["type"] == "json_schema"
    schema = body["response_format"]["json_schema"]["schema"]
    assert (schema["required"], schema["additionalProperties"]) == (["name", "n"], False)
    notes = entries(run, "note")
    assert [(e["kind"], e["model"], e["honoured"]) for e in notes] == [("response_format", MODEL, True)]


def test_a_refusal_falls_back_to_the_prompt_and_is_kept_in_the_record(chat_bench: Bench) -> None:
    def refuses(body: dict[str, Any], n: int) -> Any:
        if "response_format" in body:
            return Reply(fault="upstream_400")
        return "Here you are:\n```json\n" + json.dumps({"name": "iron", "n": 26}) + "\n```"

    chat_bench.answers.rule = refuses
    run = chat_bench.run(STRUCTURED)
    assert run.outputs == {"a": {"name": "iron", "n": 26}}
    first, second = asked(chat_bench)
    assert "response_format" in first
    assert "response_format" not in second
    system, user = (message["content"] for message in second["messages"])
    assert system.startswith("You know metals.\n")
    assert '"required": ["name", "n"]' in system
    assert user == "iron"
    assert [e["honoured"] for e in entries(run, "note")] == [False]


def test_a_wrong_answer_is_sent_back_with_the_validators_message(chat_bench: Bench) -> None:
    chat_bench.answers.rule = in_turn({"name": "iron", "n": 0}, {"name": "iron", "n": 26})
    run = chat_bench.run(STRUCTURED)
    assert run.outputs == {"a": {"name": "iron", "n": 26}}
    (call,) = entries(run, "call")
    assert (call["step"], call["attempt"], call["n"]) == ("a", 1, 0)
    assert "0 is less than the minimum of 1" in call["problem"]
    assert call["text"] == '{"name": "iron", "n": 0}'
    repair = asked(chat_bench)[1]["messages"]
    assert repair[-2] == {"role": "assistant", "content": '{"name": "iron", "n": 0}'}
    assert call["problem"] in repair[-1]["content"]
    assert run.state.calls == 2
    assert entries(run, "done")[0]["call"]["n"] == 1


def test_repairs_that_are_used_up_fail_and_every_answer_is_kept(chat_bench: Bench) -> None:
    chat_bench.answers.rule = in_turn({"name": 1, "n": 1}, {"name": 2, "n": 1}, {"name": 3, "n": 1})
    chat_bench.gateway.write_endpoint(  # type: ignore[union-attr]
        chat_bench.folder, "local", limits={"timeout": "120s"}, supports={"response_format": "no"}
    )
    run = chat_bench.run(STRUCTURED.replace("repair: 1", "repair: 2"))
    assert run.status == "failed"
    assert len(entries(run, "call")) == 3
    assert run.state.calls == 3
    error = error_of(run, "a")
    assert error["kind"] == "output_invalid"
    assert error["where"] == "a"
    assert error["summary"].startswith("the answer is not what 'output' or 'check' asks for after 2 repairs: ")
    assert run.outputs == {"a": None}


def test_a_check_is_treated_like_a_failed_validation(chat_bench: Bench) -> None:
    chat_bench.answers.rule = in_turn("no numbers", "still none", "42")
    run = chat_bench.run("""
        steps: {a: {chat: Give a number., check: output | int > 0, repair: 2}}
        outputs: {a: "${{ steps.a.output }}"}
        """)
    assert run.outputs == {"a": "42"}
    assert [e["problem"] for e in entries(run, "call")] == ["the check does not hold: output | int > 0"] * 2


def test_an_answer_that_a_check_cannot_be_asked_of_is_kept_too(chat_bench: Bench) -> None:
    run = chat_bench.run("steps: {a: {chat: Give a number., check: output.n > 0}}")
    assert run.status == "failed"
    (call,) = entries(run, "call")
    assert call["problem"] == "the check output.n > 0 cannot be asked: a text has no 'n'"
    assert run.state.calls == 1


def test_an_answer_that_was_cut_short_is_kept_too(chat_bench: Bench) -> None:
    chat_bench.answers.rule = lambda body, n: Reply("The answer is", finish_reason="length")
    run = chat_bench.run("steps: {a: {chat: hi}}")
    assert run.status == "failed"
    (call,) = entries(run, "call")
    assert (call["text"], call["finish"]) == ("The answer is", "length")
    assert call["problem"] == error_of(run, "a")["summary"]
    assert run.state.calls == 1
    assert run.state.usage.total_tokens > 0


def test_reasoning_is_kept_apart(chat_bench: Bench) -> None:
    chat_bench.answers.rule = in_turn(Reply("4", reasoning="2 and 2"), "<think>\n2 and 2\n</think>\n\n4")
    run = chat_bench.run("""
        steps: {a: {chat: sum}, b: {needs: a, chat: sum}}
        outputs: {a: "${{ steps.a.output }}", b: "${{ steps.b.output }}"}
        """)
    assert run.outputs == {"a": "4", "b": "4"}
    assert [e["call"]["reasoning"].strip() for e in entries(run, "done")] == ["2 and 2", "2 and 2"]


def test_a_call_is_in_the_journal_whole(chat_bench: Bench) -> None:
    run = chat_bench.run('steps: {a: {foreach: {x: hi}, chat: {user: "${{ item }}", seed: 3}}}')
    (done,) = entries(run, "done")
    assert {name: done[name] for name in ("step", "key", "address", "index", "attempt", "output", "kind")} == {
        "step": "a",
        "key": "x",
        "address": "a@x",
        "index": 0,
        "attempt": 1,
        "output": "hi",
        "kind": "json",
    }
    call = done["call"]
    assert call["model"] == MODEL
    assert call["messages"] == [{"role": "user", "content": "hi"}]
    assert call["settings"] == {"seed": 3}
    assert (call["text"], call["finish"]) == ("hi", "stop")
    assert call["usage"]["total_tokens"] == call["usage"]["prompt_tokens"] + call["usage"]["completion_tokens"]
    assert len(done["ck"]) == 64
    assert done["t0"] <= done["t1"] <= done["t"]


def test_no_answer_within_the_timeout_fails_the_item_only(chat_bench: Bench) -> None:
    chat_bench.answers.rule = lambda body, n: Reply("late", latency=30.0) if said(body) == "slow" else "soon"
    run = chat_bench.run('steps: {a: {foreach: [slow, fast], chat: "${{ item }}", timeout: 0.2s, on_error: continue}}')
    assert run.status == "done"
    assert rows(run, "a")["1"]["output"] == "soon"
    error = error_of(run, "a", "0")
    assert (error["kind"], error["where"]) == ("timeout", "a@0")
    assert error["summary"] == "no answer within its timeout of 200ms"


def test_an_endpoint_that_fails_for_good_fails_the_item(chat_bench: Bench) -> None:
    chat_bench.answers.rule = lambda body, n: Reply(fault="upstream_400") if said(body) == "bad" else "fine"
    run = chat_bench.run('steps: {a: {foreach: [bad, good], chat: "${{ item }}"}}')
    assert run.status == "failed"
    assert rows(run, "a")["1"]["output"] == "fine"
    assert error_of(run, "a", "0")["where"] == "a@0"


def test_a_list_in_a_prompt_asks_how_it_should_look(chat_bench: Bench) -> None:
    run = chat_bench.run('params: {w: {type: array, default: [1]}}\nsteps: {a: {chat: "${{ params.w }}"}}')
    assert error_of(run, "a")["summary"] == "the user message is a list, an object or null"
    assert asked(chat_bench) == []


def test_a_chat_step_needs_an_endpoint_that_is_named(bench: Bench) -> None:
    with pytest.raises(ConfigError) as caught:
        bench.run("steps: {a: {chat: hello}}")
    assert caught.value.summary == "the workflow has chat steps, and no endpoint is named"
    names = [endpoint.name for endpoint in list_endpoints()]
    assert {"embedded", "metis", "openai"} <= set(names)
    assert caught.value.hint == (
        f"choose one: --endpoint NAME, or 'endpoint: NAME' in the file; there are: {', '.join(names)}"
    )
    assert not (bench.folder / "runs").exists()


def test_a_run_without_chat_steps_needs_none(bench: Bench) -> None:
    assert bench.run("steps: {a: {run: echo hi}}").status == "done"


def test_the_workflow_names_the_endpoint_itself(chat_bench: Bench) -> None:
    run = chat_bench.run(
        "endpoint: local\nsteps: {a: {chat: hi}}\noutputs: {a: '${{ steps.a.output }}'}", endpoint=None
    )
    assert run.outputs == {"a": "hi"}


def test_no_model_named_anywhere_is_refused(chat_bench: Bench) -> None:
    workflow = chat_bench.write("bare.yaml", "version: 1\nname: bare\nsteps: {a: {chat: hi}}\n")
    with pytest.raises(ConfigError) as caught:
        Workflow.load(workflow).run(endpoint="local", runs_dir=chat_bench.folder / "runs")
    assert caught.value.summary == "no model is named, and the endpoint 'local' has no default"
