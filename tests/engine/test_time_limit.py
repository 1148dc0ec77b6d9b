"""``--time-limit`` and walltimes: what cannot finish is not started, what runs then is ended and is no attempt."""

from __future__ import annotations

import time

import pytest
from engine_kit import Bench, counts, entries

from metis_flow.engine.deadline import Deadline, deadline_of
from metis_flow.sites.walltime import Walltime
from metis_flow.testing import Reply


@pytest.mark.parametrize(
    ("limit", "walltime", "ends", "margin", "reason"),
    [
        (600.0, None, 1600.0, 30.0, "the time limit of 10m00s"),
        (4.0, None, 1004.0, 1.0, "the time limit of 4.0s"),
        (None, Walltime("PBS", "7.host", 3600.0, 7200.0), 4600.0, 60.0, "the walltime of the PBS job 7.host"),
        (600.0, Walltime("Slurm", "8", 300.0, 300.0), 1300.0, 15.0, "the walltime of the Slurm job 8"),
        (100.0, Walltime("Slurm", "8", 300.0, 300.0), 1100.0, 5.0, "the time limit of 1m40s"),
    ],
)
def test_the_earlier_end_counts(
    limit: float | None, walltime: Walltime | None, ends: float, margin: float, reason: str
) -> None:
    found = deadline_of(limit, walltime, lambda: 1000.0)
    assert found is not None
    assert (found.ends, found.margin, found.reason) == (ends, margin, reason)


def test_without_either_there_is_none() -> None:
    assert deadline_of(None, None) is None
    assert deadline_of(None, Walltime("PBS", "1", None, None, "qstat does not answer")) is None


def test_what_does_not_fit_is_not_allowed() -> None:
    deadline = Deadline(ends=1100, margin=10, reason="it", clock=lambda: 1000)
    assert deadline.allows(None)
    assert deadline.allows(89)
    assert not deadline.allows(90)


def test_a_run_that_is_stopped_by_the_clock_ends_well_after_a_resume(bench: Bench) -> None:
    text = """
    steps:
      a: {foreach: "${{ range(6) }}", args: ["${{ item }}"], run: "sleep 0.5; echo $1"}
      b: {foreach: "${{ steps.a.outputs }}", args: ["${{ item }}"], run: "echo $1$1"}
    outputs: {all: "${{ steps.b.outputs }}"}
    """
    bench.write("one.yaml", "name: one\nexecutors: {threads: {kind: threads, workers: 1}}\n")
    run = bench.run(text, time_limit=2.5, site="one")
    assert (run.status, run.state.exit_code) == ("stopped", 5)
    assert run.state.reason == "the time limit of 2.5s ends"
    done = counts(run, "a")[0]
    assert 0 < done < 6
    assert not entries(run, "failed")  # an end by the clock is no attempt
    run.resume()
    assert run.status == "done"
    assert run.outputs["all"] == ["00", "11", "22", "33", "44", "55"]
    assert len(entries(run, "done", "a")) == 6  # nothing was done twice


def test_what_would_outlast_the_time_is_not_started(bench: Bench) -> None:
    began = time.monotonic()
    run = bench.run(
        """
        steps:
          quick: {run: echo hi}
          long: {needs: quick, run: "touch $MARK", env: {MARK: "${{ params.mark }}"}, timeout: 1h}
        params: {mark: {type: string}}
        """,
        {"mark": str(bench.folder / "began")},
        time_limit=60,
    )
    assert (run.status, run.state.exit_code) == ("stopped", 5)
    assert counts(run, "quick") == (1, 0, 0)
    assert not (bench.folder / "began").exists()
    assert time.monotonic() - began < 60  # nor is the rest of the time sat out


def test_calls_in_flight_at_the_end_are_asked_again_by_the_resume(chat_bench: Bench) -> None:
    chat_bench.answers.rule = lambda body, n: Reply("late", latency=30)
    run = chat_bench.run("steps: {a: {chat: hi}}", time_limit=2)
    assert (run.status, run.state.exit_code) == ("stopped", 5)
    assert not entries(run, "failed")
    chat_bench.answers.rule = lambda body, n: "now"
    run.resume()
    assert [row["output"] for row in run.rows("a")] == ["now"]
