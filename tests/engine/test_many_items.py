"""Many items against a server that answers at once."""

from __future__ import annotations

from pathlib import Path

from engine_kit import MODEL, Bench, entries

from metis_flow.testing import Gateway, GatewayProcess


def test_five_thousand_items_have_every_answer_in_its_place(tmp_path: Path) -> None:
    """The one bigger test of the engine."""
    with GatewayProcess("--no-limits") as gateway:
        gateway.write_endpoint(tmp_path, "local", limits={"timeout": "120s"})
        bench = Bench(tmp_path)
        run = bench.run(
            """
            limits: {concurrency: 32}
            steps: {a: {foreach: "${{ range(5000) }}", chat: "item ${{ item }}"}}
            outputs: {a: "${{ steps.a.outputs }}"}
            """,
            endpoint="local",
        )
        seen = gateway.counts
    assert run.outputs["a"] == [f"You said: item {n}" for n in range(5000)]
    assert run.state.calls == seen.answered == 5000
    assert seen.high_water <= 32
    assert len(entries(run, "done")) == 5000


def test_many_scripts_are_spread_over_folders_and_their_files_found(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    run = bench.run("""
        steps:
          load: {python: "builtins:list", with: {}}
          a: {foreach: "${{ range(1000) }}", if: item % 250 == 0, run: "echo x > f", output: {path: f}}
          b: {foreach: "${{ steps.a.outputs }}", files: {f: "${{ item }}"}, run: cat f}
        outputs: {b: "${{ steps.b.outputs }}"}
        """)
    assert run.outputs["b"] == ["x"] * 4
    folders = {Path(entry["folder"]) for entry in entries(run, "done", "a")}
    assert all(len(folder.parts) == 4 and len(folder.parts[2]) == 2 for folder in folders)


def test_no_more_calls_are_in_flight_than_allowed(chat_bench: Bench) -> None:
    gateway = chat_bench.gateway
    assert isinstance(gateway, Gateway)
    gateway.set_latency(0.01)
    try:
        run = chat_bench.run("""
            limits: {concurrency: 5}
            steps: {a: {foreach: "${{ range(60) }}", chat: "${{ item }}"}}
            """)
    finally:
        gateway.set_latency(0)
    assert run.state.calls == 60
    assert gateway.counts.high_water == 5
    assert entries(run, "done")[0]["call"]["model"] == MODEL
