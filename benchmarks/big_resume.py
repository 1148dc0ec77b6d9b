"""How soon a big run that was killed goes on.

``python -m benchmarks.big_resume`` asks 100,000 questions, kills the driver with -9 when 1,000 are left, and resumes: a
run of some minutes. The gateway runs in a process of its own, answers at once, and counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.records import COMMAND
from benchmarks.whole_run import STUDY, table
from metis_flow.testing import Counts, GatewayProcess

HOURS = 3600.0 * 10


@dataclass(frozen=True)
class Load:
    """So many questions, and how many of them are left when the driver is killed."""

    calls: int = 100_000
    left: int = 1000

    def write(self, folder: Path) -> None:
        """The workflow and its questions; a question has some 900 characters."""
        rows = [
            {"name": f"q{n}", "text": f"Question {n}: " + "what is known about it? " * 36} for n in range(self.calls)
        ]
        (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        (folder / "questions.yaml").write_text(STUDY, encoding="utf-8")


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """A command of metis-flow in the folder; what it says is thrown away."""
    place = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(place)}
    return subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def measure(folder: Path, load: Load) -> dict[str, object]:
    """Run, kill, resume."""
    load.write(folder)
    with GatewayProcess("--no-limits") as gateway:
        gateway.write_endpoint(folder, "near", limits={"concurrency": 64})
        began = time.monotonic()
        first = start(folder, "run", "questions.yaml", "--endpoint", "near")
        gateway.wait_for(lambda counts: counts.answered >= load.calls - load.left, seconds=HOURS)
        first.kill()
        first.wait()
        ran = time.monotonic() - began
        before = _settled(gateway)
        began = time.monotonic()
        second = start(folder, "resume", "last")
        gateway.wait_for(lambda counts: counts.answered > before.answered, seconds=600)
        soon, used_soon = time.monotonic() - began, psutil.Process(second.pid).cpu_times()
        _, status, used = os.wait4(second.pid, 0)
        second.returncode = os.waitstatus_to_exitcode(status)
        if second.returncode:
            raise RuntimeError(f"the resume ended with {second.returncode}")
        return {
            "calls": load.calls,
            "answered when it was killed": before.answered,
            "seconds until then": ran,
            "seconds from the command to the first answer": soon,
            "CPU seconds until then": used_soon.user + used_soon.system,
            "seconds to the end": time.monotonic() - began,
            "MB of the resume, at most": used.ru_maxrss / 1024,
            "asked twice": gateway.counts.repeated,
        }


def _settled(gateway: GatewayProcess) -> Counts:
    """What it has counted when the calls of the killed driver are through."""
    return gateway.wait_for(lambda counts: counts.in_flight == 0, seconds=60)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--left", type=int, default=1000, help="when the driver is killed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(table(measure(Path(folder), Load(arguments.calls, arguments.left))))


if __name__ == "__main__":
    main()
