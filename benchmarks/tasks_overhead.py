"""What an instance costs beyond what Parsl itself takes for it.

``python -m benchmarks.tasks_overhead`` calls a small Python function 10,000 times, first by Parsl alone and then as the
instances of one step, both on the executor of `local-processes`. Both are timed from the first submission to the last
result, when the workers are up. They take turns, three times each, and the best of each counts: what else the machine
does can only slow them down.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from benchmarks.whole_run import table
from metis_flow import Workflow
from metis_flow.record.journal import read_journal

STUDY = """\
version: 1
name: tasks
steps:
  warm:
    foreach: ${{ range(16) }}
    python: small:double
    with: {number: "${{ item }}"}
  each:
    needs: warm
    foreach: ${{ range(COUNT) }}
    python: small:double
    with: {number: "${{ item }}"}
"""
FUNCTION = "def double(number):\n    return 2 * number\n"


@dataclass(frozen=True)
class Result:
    """How it went; milliseconds are of the wall's clock, for one task.

    Args:
        tasks: how many.
        parsl: milliseconds by Parsl alone.
        ours: milliseconds as instances of a step.
    """

    tasks: int
    parsl: float
    ours: float

    @property
    def ratio(self) -> float:
        """Ours by Parsl's."""
        return self.ours / self.parsl

    def __str__(self) -> str:
        return table(
            {
                "tasks": self.tasks,
                "by Parsl alone, ms a task": self.parsl,
                "as instances of a step, ms a task": self.ours,
                "ratio": self.ratio,
            }
        )


def double(number: int) -> int:
    """The function that is called."""
    return 2 * number


def by_parsl(folder: Path, tasks: int) -> float:
    """Seconds that Parsl takes for so many tasks, all submitted at once."""
    from parsl import python_app
    from parsl.dataflow.dflow import DataFlowKernel

    from metis_flow.sites.choice import Use
    from metis_flow.sites.config import find_site
    from metis_flow.sites.parsl_config import parsl_config

    site = find_site("local-processes")
    kernel = DataFlowKernel(parsl_config(site, folder, {site.work[0]: Use((), {})}))
    app = python_app(double, data_flow_kernel=kernel)
    try:
        for future in [app(number) for number in range(16)]:
            future.result()
        began = time.monotonic()
        futures: list[Future[int]] = [app(number) for number in range(tasks)]
        assert [future.result() for future in futures] == [2 * number for number in range(tasks)]
        return time.monotonic() - began
    finally:
        kernel.cleanup()


def by_step(folder: Path, tasks: int) -> float:
    """Seconds from when the step opens to when it closes, by the run's own record."""
    (folder / "small.py").write_text(FUNCTION, encoding="utf-8")
    path = folder / "tasks.yaml"
    path.write_text(STUDY.replace("COUNT", str(tasks)), encoding="utf-8")
    times: dict[str, float] = {}
    run = Workflow.load(path).run(site="local-processes", runs_dir=folder / "runs")
    assert run.status == "done", run.state.reason
    for entry in read_journal(run.folder.journal):
        if entry.get("step") == "each" and entry["e"] in ("step", "stepdone"):
            times[entry["e"]] = entry["t"]
    return times["stepdone"] - times["step"]


def measure(tasks: int, rounds: int) -> Result:
    """Both, in turn."""
    parsl, ours = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "parsl").mkdir()
            parsl.append(by_parsl(folder / "parsl", tasks))
            ours.append(by_step(folder, tasks))
    return Result(tasks, 1000 * min(parsl) / tasks, 1000 * min(ours) / tasks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(measure(given.tasks, given.rounds))


if __name__ == "__main__":
    main()
