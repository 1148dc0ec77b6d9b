"""Fan-outs: items, keys, addresses, order, and going item by item."""

from __future__ import annotations

import json
from typing import Any

import pytest
from engine_kit import Bench, entries, error_of, rows, said, statuses

from metis_flow.errors import WorkflowInvalid
from metis_flow.testing import Reply

FUNCTIONS = """
    def same(x):
        return x

    def fussy(x):
        if x in (1, "bad"):
            raise ValueError(f"{x} is bad")
        return x
"""


@pytest.fixture
def work(bench: Bench) -> Bench:
    bench.write("work.py", FUNCTIONS)
    return bench


@pytest.mark.parametrize(
    ("foreach", "expected"),
    [
        ("[a, 2, {n: 1}]", [("0", "a"), ("1", 2), ("2", {"n": 1})]),
        ("{x: 1, y z: [2]}", [("x", 1), ("y z", [2])]),
        ('"${{ range(2, 8, 3) }}"', [("0", 2), ("1", 5)]),
        ('"${{ params.words }}"', [("0", "one"), ("1", "two")]),
        ('"${{ steps.first.output }}"', [("0", 7), ("1", 8)]),
        ("\"${{ steps.first.output | map('string') }}\"", [("0", "7"), ("1", "8")]),
    ],
)
def test_items_of_a_list_an_object_a_range_a_parameter_or_an_earlier_output(
    work: Bench, foreach: str, expected: list[tuple[str, Any]]
) -> None:
    run = work.run(f"""
        params: {{words: {{type: array, default: [one, two]}}}}
        steps:
          first: {{python: "work:same", with: {{x: [7, 8]}}}}
          each:
            foreach: {foreach}
            python: work:same
            with: {{x: "${{{{ [key, item] }}}}"}}
        outputs: {{all: "${{{{ steps.each.outputs }}}}"}}
        """)
    assert run.outputs["all"] == [list(pair) for pair in expected]
    assert sorted(map(str, rows(run, "each"))) == sorted(key for key, _ in expected)


@pytest.mark.parametrize(
    ("foreach", "problem"),
    [
        ("${{ steps.first.output.word }}", "'foreach' got a text, and takes a list, an object or a range"),
        ("${{ steps.first.output.none }}", "'foreach' got null, and takes a list, an object or a range"),
        ("${{ steps.first.output.number }}", "'foreach' got a number, and takes a list, an object or a range"),
    ],
)
def test_foreach_over_something_else_fails_the_step(work: Bench, foreach: str, problem: str) -> None:
    run = work.run(f"""
        steps:
          first: {{python: "work:same", with: {{x: {{word: abc, none: null, number: 3}}}}}}
          each: {{foreach: "{foreach}", python: "work:same", with: {{x: "${{{{ item }}}}"}}}}
        """)
    assert run.status == "failed"
    assert error_of(run, "each")["summary"] == problem
    assert error_of(run, "each")["where"] == "each"


def test_outputs_are_in_the_order_of_items_whatever_the_order_of_answers(chat_bench: Bench) -> None:
    async def last_first(body: dict[str, Any], n: int) -> Reply:
        place = int(said(body))
        return Reply(str(place), latency=0.02 * (12 - place))

    chat_bench.answers.rule = last_first
    run = chat_bench.run("""
        steps:
          ask: {foreach: "${{ range(12) }}", chat: "${{ item }}"}
        outputs: {all: "${{ steps.ask.outputs }}", keys: "${{ steps.ask.results | map(attribute='key') | list }}"}
        """)
    assert [entry["index"] for entry in entries(run, "done")] != list(range(12))
    assert run.outputs == {"all": [str(n) for n in range(12)], "keys": [str(n) for n in range(12)]}


def test_a_key_of_ones_own_goes_on_to_the_steps_that_follow(work: Bench) -> None:
    run = work.run("""
        steps:
          a:
            foreach: [{id: 12, name: iron}, {id: 7, name: gold}]
            key: ${{ item.name }}-${{ item.id }}
            python: work:same
            with: {x: "${{ item.id }}"}
          b:
            foreach: ${{ steps.a.results }}
            as: row
            python: work:same
            with: {x: "${{ [key, row.key, row.status, row.output, row.error] }}"}
          c:
            foreach: ${{ steps.b.outputs }}
            python: work:same
            with: {x: "${{ [key, item[0]] }}"}
        outputs: {b: "${{ steps.b.outputs }}", c: "${{ steps.c.outputs }}"}
        """)
    assert run.outputs["b"] == [["iron-12", "iron-12", "done", 12, None], ["gold-7", "gold-7", "done", 7, None]]
    assert run.outputs["c"] == [["iron-12", "iron-12"], ["gold-7", "gold-7"]]
    assert sorted(e["address"] for e in entries(run, "done", "c")) == ["c@gold-7", "c@iron-12"]


HOSTILE = [
    "../../x",
    "",
    "k" * 300,
    "Ünï çødé",
    "a/b",
    "-rf",
    "..",
    "a\nb",
    "${{ params }}",
    "{{ 7*7 }}",
    "$(id)",
    "a'b\"c",
]


def test_keys_are_data_and_their_addresses_are_safe(bench: Bench) -> None:
    bench.write("keys.json", json.dumps(HOSTILE))
    run = bench.run("""
        params: {keys: {type: path, default: keys.json}}
        steps:
          load: {uses: read_rows, with: {path: "${{ params.keys }}"}}
          each:
            foreach: ${{ steps.load.output }}
            key: ${{ item }}
            run: printf %s "$METIS_FLOW_INSTANCE"; echo x > made
        outputs: {all: "${{ steps.each.outputs }}"}
        """)
    assert run.status == "done"
    assert set(rows(run, "each")) == set(HOSTILE)
    addresses = [e["address"] for e in entries(run, "done", "each")]
    assert len(set(addresses)) == len(HOSTILE)
    folder = run.folder.steps / "each"
    assert sorted(path.name for path in folder.iterdir()) == sorted(a.removeprefix("each@") for a in addresses)
    for address in addresses:
        name = address.removeprefix("each@")
        assert len(name) <= 40 + 1 + 8
        assert not name.startswith((".", "-"))
        assert all(sign.isascii() and (sign.isalnum() or sign in "._=,-") for sign in name)


@pytest.mark.parametrize(
    "foreach",
    ["[{id: a, n: 1}, {id: b, n: 2}, {id: a, n: 3}]", '"${{ params.things }}"'],
)
def test_equal_keys_known_to_the_plan_are_an_error_that_shows_both_items(bench: Bench, foreach: str) -> None:
    with pytest.raises(WorkflowInvalid) as caught:
        bench.run(f"""
            params: {{things: {{type: array, default: [{{id: a, n: 1}}, {{id: b, n: 2}}, {{id: a, n: 3}}]}}}}
            steps:
              each: {{foreach: {foreach}, key: "${{{{ item.id }}}}", run: "true"}}
            """)
    text = caught.value.render()
    assert "items 0 and 2 have the same key 'a'" in text
    assert '{"id": "a", "n": 1}' in text
    assert '{"id": "a", "n": 3}' in text


def test_equal_keys_found_in_a_run_are_an_error_that_shows_both_items(work: Bench) -> None:
    run = work.run("""
        steps:
          load: {python: "work:same", with: {x: [{id: a, n: 1}, {id: b, n: 2}, {id: a, n: 3}]}}
          each:
            foreach: ${{ steps.load.output }}
            key: ${{ item.id }}
            python: work:same
            with: {x: "${{ item.n }}"}
        """)
    assert run.status == "failed"
    failed = entries(run, "failed", "each")
    assert [entry["error"]["summary"] for entry in failed] == ["items 0 and 2 have the same key 'a'"]
    assert '{"id": "a", "n": 1}' in failed[0]["error"]["detail"]
    assert '{"id": "a", "n": 3}' in failed[0]["error"]["detail"]


def test_equal_keys_hide_no_result_that_was_made(work: Bench) -> None:
    run = work.run("""
        steps:
          load: {python: "work:same", with: {x: [a, b, a]}}
          each:
            foreach: ${{ steps.load.output }}
            key: ${{ item }}
            python: work:same
            with: {x: "${{ item }}"}
        """)
    done = {entry["key"] for entry in entries(run, "done", "each")}
    assert {key for key, status in statuses(run, "each").items() if status == "done"} == done


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("${{ item.none }}", "'key' is null"),
        ("${{ item.list }}", "'key' is a list"),
        ("${{ item.absent }}", "there is no 'absent' in this object (known: list, none)"),
    ],
)
def test_a_key_that_is_none_fails_its_instance(work: Bench, key: str, problem: str) -> None:
    run = work.run(f"""
        steps:
          load: {{python: "work:same", with: {{x: [{{none: null, list: [1]}}]}}}}
          each: {{foreach: "${{{{ steps.load.output }}}}", key: "{key}", run: "true"}}
        """)
    assert run.status == "failed"
    assert error_of(run, "each", "0")["summary"] == problem


def test_a_chain_goes_item_by_item(chat_bench: Bench) -> None:
    """The second chat of the first item starts before the first chat of the last item ends."""

    async def slowly(body: dict[str, Any], n: int) -> Reply:
        return Reply(said(body), latency=0.03)

    chat_bench.answers.rule = slowly
    chat_bench.write("work.py", FUNCTIONS)
    run = chat_bench.run("""
        limits: {concurrency: 4}
        steps:
          first: {foreach: "${{ range(40) }}", chat: "${{ item }}"}
          between: {foreach: "${{ steps.first.results }}", python: "work:same", with: {x: "${{ item.output }}"}}
          second: {foreach: "${{ steps.between.outputs }}", chat: "again ${{ item }}"}
        outputs: {all: "${{ steps.second.outputs }}"}
        """)
    assert run.outputs["all"] == [f"again {n}" for n in range(40)]
    ends = {(e["step"], e["index"]): e for e in entries(run, "done")}
    assert ends["second", 0]["t0"] < ends["first", 39]["t1"]
    order = [(e["step"], e["index"]) for e in entries(run, "done")]
    assert order.index(("second", 0)) < order.index(("first", 39))
    assert chat_bench.gateway is not None
    assert chat_bench.gateway.counts.high_water <= 4


@pytest.mark.parametrize(
    "extra",
    [
        'foreach: "${{ steps.a.outputs | reverse | list }}"',
        'foreach: "${{ steps.a.outputs[:30] }}"',
        'foreach: "${{ steps.a.results }}"\n            needs: a',
        'foreach: "${{ steps.a.results }}"\n            if: steps.a.status == "done"',
        'foreach: "${{ range(3) }}"\n            needs: [a]',
    ],
    ids=["expression", "slice", "needs", "status", "range"],
)
def test_other_expressions_and_needs_wait_for_the_whole_step(work: Bench, extra: str) -> None:
    run = work.run(f"""
        steps:
          a: {{foreach: "${{{{ range(30) }}}}", python: "work:same", with: {{x: "${{{{ item }}}}"}}}}
          b:
            {extra}
            python: work:same
            with: {{x: 1}}
        """)
    assert run.status == "done"
    journal = entries(run)
    closed = next(i for i, e in enumerate(journal) if e["e"] == "stepdone" and e["step"] == "a")
    opened = next(i for i, e in enumerate(journal) if e["e"] == "step" and e["step"] == "b")
    assert closed < opened


def test_rows_of_results_keep_their_keys_where_the_step_waits_for_all_of_them(work: Bench) -> None:
    run = work.run("""
        steps:
          a: {foreach: {x: 1, y: 2}, python: "work:same", with: {x: "${{ item }}"}}
          b:
            foreach: ${{ steps.a.results }}
            python: work:same
            with: {x: "${{ [item.output, steps.a.outputs | sum] }}"}
        outputs: {b: "${{ steps.b.outputs }}"}
        """)
    assert run.outputs["b"] == [[1, 3], [2, 3]]
    assert sorted(map(str, rows(run, "b"))) == ["x", "y"]


def test_a_failed_item_is_skipped_also_where_the_step_waits_for_all_of_them(work: Bench) -> None:
    run = work.run("""
        steps:
          a: {foreach: [0, 1, 2], python: "work:fussy", with: {x: "${{ item }}"}, on_error: continue}
          b:
            foreach: ${{ steps.a.results }}
            python: work:same
            with: {x: "${{ [item.output, steps.a.outputs | sum] }}"}
        """)
    assert statuses(run, "b") == {"0": "done", "1": "skipped", "2": "done"}


def test_the_limit_cuts_the_first_fan_out_only(work: Bench) -> None:
    run = work.run(
        """
        steps:
          a: {foreach: "${{ range(1000000000) }}", python: "work:same", with: {x: "${{ item }}"}}
          b: {foreach: "${{ steps.a.results }}", python: "work:same", with: {x: "${{ item.output }}"}}
        outputs: {b: "${{ steps.b.outputs }}"}
        """,
        limit=3,
    )
    assert run.outputs["b"] == [0, 1, 2]


def test_a_follower_that_is_skipped_as_a_whole_does_not_hold_up_its_source(work: Bench) -> None:
    run = work.run("""
        params: {go: {type: boolean, default: false}}
        steps:
          a: {foreach: "${{ range(100) }}", python: "work:same", with: {x: "${{ item }}"}}
          b: {foreach: "${{ steps.a.results }}", if: params.go, python: "work:same", with: {x: 1}}
        outputs: {n: "${{ steps.a.outputs | length }}"}
        """)
    assert run.outputs["n"] == 100


def test_a_follower_that_waits_for_another_step_does_not_hold_up_its_source(work: Bench) -> None:
    run = work.run("""
        steps:
          a: {foreach: "${{ range(100) }}", python: "work:same", with: {x: "${{ item }}"}}
          total: {python: "work:same", with: {x: "${{ steps.a.outputs | sum }}"}}
          b:
            foreach: ${{ steps.a.results }}
            python: work:same
            with: {x: "${{ steps.total.output - item.output }}"}
        outputs: {b: "${{ steps.b.outputs }}"}
        """)
    assert run.outputs["b"] == [4950 - n for n in range(100)]
