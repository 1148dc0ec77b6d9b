"""What an instance's content key in the journal depends on."""

from __future__ import annotations

from engine_kit import Bench, entries


def test_a_check_counts_by_the_values_that_it_reads(bench: Bench) -> None:
    bench.write("work.py", "def same(x):\n    return x\n")
    text = """
        params: {most: {type: integer, default: 9}, other: {type: integer, default: 1}}
        steps: {a: {python: "work:same", with: {x: 3}, check: "output < params.most"}}
        """
    keys = [entries(bench.run(text, params=params), "done")[0]["ck"] for params in ({}, {"other": 2}, {"most": 8})]
    assert keys[0] == keys[1] != keys[2]


def test_a_path_inside_a_text_counts_by_what_the_file_holds(bench: Bench) -> None:
    bench.write("work.py", "def same(x):\n    return x\n")
    text = """
        params: {data: {type: path, default: data.txt}}
        steps: {a: {python: "work:same", with: {x: "read ${{ params.data }}"}}}
        """
    keys = []
    for content in ("one", "one", "two"):
        bench.write("data.txt", content)
        keys.append(entries(bench.run(text), "done")[0]["ck"])
    assert keys[0] == keys[1] != keys[2]
