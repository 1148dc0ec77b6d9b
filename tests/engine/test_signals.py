"""SIGTERM and Ctrl-C: what runs finishes and is kept, nothing more starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from engine_kit import HEADER, Bench, counts, entries

from metis_flow.api import Run
from metis_flow.testing import Reply

Spawn = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start a driver in a process group of its own, as a terminal does; what is left at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(bench: Bench, text: str, site: str = "local") -> subprocess.Popen[bytes]:
        bench.write("trial.yaml", HEADER + text)
        endpoint = ["--endpoint", "local"] if bench.gateway else []
        options = ["--site", site, "--runs-dir", str(bench.folder / "runs"), *endpoint]
        process = subprocess.Popen(
            [sys.executable, "-m", "metis_flow.cli", "run", str(bench.folder / "trial.yaml"), *options],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(condition: Callable[[], object]) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.02)


def gone(pid: str) -> bool:
    """Whether a process has ended."""
    return not Path(f"/proc/{pid}").exists()


def only_run(bench: Bench) -> Run:
    """The bench's one run."""
    return Run.open("last", bench.folder / "runs")


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [(signal.SIGTERM, 5, "ended by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_signal_lets_running_calls_finish_and_starts_no_more(
    chat_bench: Bench, spawn: Spawn, number: signal.Signals, code: int, reason: str
) -> None:
    gateway = chat_bench.gateway
    assert gateway is not None
    chat_bench.answers.rule = lambda body, n: Reply(str(n), latency=2)
    process = spawn(
        chat_bench,
        'limits: {concurrency: 3}\nsteps: {a: {foreach: "${{ range(100) }}", chat: "${{ item }}"}}\n',
    )
    gateway.wait_for(lambda counts: counts.high_water == 3, seconds=60)
    process.send_signal(number)
    assert process.wait(60) == code
    run = only_run(chat_bench)
    assert (run.status, run.state.exit_code, run.state.reason) == ("stopped", code, reason)
    kept = len(entries(run, "done"))
    assert kept == 3  # those in flight; what was submitted and not yet sent is taken back
    assert gateway.counts.answered == kept  # every answer that was paid for
    assert counts(run, "a") == (kept, 0, 0)
    assert not (run.folder.path / "parsl").exists()


@pytest.mark.parametrize("site", ["local", "local-processes"])
def test_ctrl_c_at_a_terminal_lets_running_steps_finish(bench: Bench, spawn: Spawn, site: str) -> None:
    """A terminal sends it to the driver and to all that it has started."""
    bench.write(
        "work.py",
        """
        def slow(began):
            import pathlib, time
            pathlib.Path(began).touch()
            time.sleep(1)
            return "done"
        """,
    )
    began = bench.folder / "began"
    process = spawn(
        bench,
        f"""
steps:
  call: {{python: "work:slow", with: {{began: "{began}-call"}}}}
  script: {{args: ["{began}-script"], run: "touch $1; sleep 1; echo done"}}
  after: {{needs: [call, script], run: "true"}}
""",
        site,
    )
    until(lambda: Path(f"{began}-call").exists() and Path(f"{began}-script").exists())
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    run = only_run(bench)
    assert {entry["step"]: entry["output"] for entry in entries(run, "done")} == {"call": "done", "script": "done"}
    assert entries(run, "failed") == []


def test_a_second_ctrl_c_ends_at_once_with_all_scripts(bench: Bench, spawn: Spawn) -> None:
    pids = bench.folder / "pids"
    process = spawn(
        bench, f'steps: {{a: {{foreach: "${{{{ range(6) }}}}", args: ["{pids}"], run: "echo $$ >> $1; sleep 600"}}}}\n'
    )
    until(lambda: pids.exists() and pids.read_text().strip())
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    for pid in pids.read_text().split():
        until(partial(gone, pid))
    run = only_run(bench)
    assert (run.status, run.state.exit_code) == ("stopped", 130)


def test_a_second_ctrl_c_does_not_wait_for_a_function_either(bench: Bench, spawn: Spawn) -> None:
    began = bench.folder / "began"
    bench.write("work.py", "def f(x):\n    import pathlib, time\n    pathlib.Path(x).touch()\n    time.sleep(600)\n")
    process = spawn(bench, f'steps: {{a: {{python: "work:f", with: {{x: "{began}"}}}}}}\n')
    until(began.exists)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert only_run(bench).state.exit_code == 130


def test_sigterm_while_scripts_run_keeps_what_they_gave(bench: Bench, spawn: Spawn) -> None:
    began = bench.folder / "began"
    process = spawn(
        bench,
        f'steps: {{a: {{args: ["{began}"], run: "touch $1; sleep 1; echo done"}}, b: {{needs: a, run: "true"}}}}\n',
    )
    until(began.exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 5
    run = only_run(bench)
    assert [(entry["step"], entry["output"]) for entry in entries(run, "done")] == [("a", "done")]
    assert run.status == "stopped"
