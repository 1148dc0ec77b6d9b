"""How fast a big record answers, and how much memory that takes.

``python -m benchmarks.records`` writes the record of a run of 100,000 calls through the journal's own writer, and asks
it as a user does: each question is a process of its own, with nothing in memory from before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.whole_run import MODEL, STUDY, table
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter
from metis_flow.record.lockfile import RunLock, write_lock

COMMAND = (sys.executable, "-m", "metis_flow.cli")
SETTINGS = {"temperature": 0, "max_tokens": 400}
_FLUSH = 5000

_ASKING = {
    "RunState.read": """
from metis_flow.record.state import RunState
RunState.read(folder)
""",
    "read_instances of one": """
from metis_flow.record.state import read_instances
assert len(list(read_instances(folder, "ask", "q77"))) == 1
""",
    "read_instances of all": """
from metis_flow.record.state import read_instances
assert sum(1 for entry in read_instances(folder)) > 1
""",
    "Earlier": """
from metis_flow.record.earlier import Earlier
earlier = Earlier(folder, keep_failures=True)
assert earlier.entry("ask", "q77") is not None
""",
    "Cache": """
from metis_flow.record.cache import Cache
cache = Cache(folder.path.parent, without=None)
assert not cache.skipped, cache.skipped
""",
}
_ASK = """
import sys
from pathlib import Path
from metis_flow.record.folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
"""
# A process counts what the one that started it had in memory, so a small one stands between.
_WATCH = """
import json, os, subprocess, sys, time
began = time.monotonic()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
out = process.stdout.read()
_, status, used = os.wait4(process.pid, 0)
seconds = time.monotonic() - began
cpu = used.ru_utime + used.ru_stime
print(json.dumps({"seconds": seconds, "cpu": cpu, "megabytes": used.ru_maxrss / 1024, "out": out}))
os._exit(os.waitstatus_to_exitcode(status)) if status else None
"""
_LOOK_UP = """
import hashlib, time
from metis_flow.record.cache import Cache
cache = Cache(folder.path.parent, without=None)
cks = [hashlib.sha256(b"ask %d" % (7 * n % int(sys.argv[2]))).hexdigest() for n in range(20000)]
began = time.process_time()
found = sum(cache.find(ck) is not None for ck in cks)
hits = time.process_time() - began
assert found == len(cks), found
absent = [hashlib.sha256(b"absent %d" % n).hexdigest() for n in range(20000)]
began = time.process_time()
assert not any(cache.find(ck) for ck in absent)
misses = time.process_time() - began
print(hits / 20000 * 1e6, misses / 20000 * 1e6)
"""


@dataclass(frozen=True)
class Asked:
    """One process from its start to its end.

    Attributes:
        seconds: by the wall's clock, the interpreter's start included; cpu: those of the processor.
        megabytes: resident at most.
    """

    seconds: float
    cpu: float
    megabytes: float
    out: str

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s, {self.megabytes:.0f} MB"


def write_record(runs_dir: Path, calls: int, *, finished: bool = True) -> RunFolder:
    """The record of a run that asked so many questions; one that was killed half-way where it is not finished."""
    workflow = runs_dir.parent / "questions.yaml"
    workflow.write_text(STUDY, encoding="utf-8")
    folder = RunFolder.create(runs_dir, "questions")
    shutil.copy(workflow, folder.workflow_file)
    lock = RunLock(
        run=folder.id,
        workflow=str(workflow),
        parameters={"questions": str(runs_dir.parent / "questions.jsonl")},
        models={"ask": {"name": MODEL, **SETTINGS}},
        endpoint="metis",
        site="local",
        tasks={},
        sources={},
        seeds={},
        options={},
        packages={},
        git=None,
    )
    write_lock(folder, lock)
    writer = JournalWriter(folder.journal)
    for number, entry in enumerate(_entries(folder, calls, finished=finished)):
        writer.append(entry)
        if number % _FLUSH == 0:
            writer.flush()
    writer.close()
    if not finished:
        _forget_last_segment(folder)
    return folder


def _forget_last_segment(folder: RunFolder) -> None:
    """Leave the last segment as a killed driver leaves it: without anything derived beside it."""
    last = max(folder.journal.glob("*.jsonl"))
    for derived in folder.journal.glob(f"{last.stem}.*"):
        if derived != last:
            derived.unlink()


def _entries(folder: RunFolder, calls: int, *, finished: bool) -> Iterator[dict[str, Any]]:
    began = 1_700_000_000.0
    yield {"e": "start", "t": began, "run": folder.id, "host": "node", "pid": 1, "generation": 1, "resumed": False}
    yield {"e": "step", "t": began, "step": "ask", "items": calls}
    chance = random.Random(1)
    for n in range(calls):
        now = began + n / 50
        yield {"e": "done", "t": now, **_answer(n, now, chance)}
        if n % 250 == 0:
            limiter = {"limit": 64, "in_flight": 64, "waiting": 12}
            yield {"e": "tick", "t": now, "running": {"ask": 64}, "waiting": {}, "limiter": limiter}
    if finished:
        now = began + calls / 50
        yield {"e": "stepdone", "t": now, "step": "ask", "status": "done"}
        yield {"e": "outputs", "t": now, "outputs": {}, "missing": {}}
        yield {"e": "end", "t": now, "status": "done", "exit": 0}


def _answer(n: int, now: float, chance: random.Random) -> dict[str, Any]:
    """Some 1,200 bytes, as an answer of a page's abstract has."""
    parts = {name: f"{chance.getrandbits(64):016x}" for name in ("prompt", "model", "settings", "schema", "check")}
    prompt = f"Abstract {n}: " + "the measured gap of the film " * chance.randint(8, 16)
    text = json.dumps({"material": f"compound {n}", "gap": round(chance.random(), 3), "note": "as measured " * 4})
    return {
        "step": "ask",
        "key": f"q{n}",
        "address": f"ask@q{n}",
        "index": n,
        "attempt": 1,
        "ck": hashlib.sha256(b"ask %d" % n).hexdigest(),
        "parts": parts,
        "t0": now - 1.5,
        "t1": now,
        "output": text,
        "kind": "json",
        "call": {
            "n": 1,
            "model": MODEL,
            "messages": [{"role": "user", "content": prompt}],
            "settings": SETTINGS,
            "text": text,
            "finish": "stop",
            "usage": {"prompt_tokens": 120, "completion_tokens": 40, "total_tokens": 160},
            "seconds": 1.4321,
        },
    }


def ask(words: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Asked:
    """Run a command to its end.

    Raises:
        CalledProcessError: it failed.
    """
    watched = [sys.executable, "-c", _WATCH, *words]
    done = subprocess.run(
        watched, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **(environment or {})}
    )
    return Asked(**json.loads(done.stdout))


def measure(folder: RunFolder, calls: int, commands: Sequence[str]) -> dict[str, object]:
    """Everything that is asked of a record."""
    words = [folder.id, "--runs-dir", str(folder.path.parent), "--json"]
    rows: dict[str, object] = {f"metis-flow {name}": ask([*COMMAND, name, *words]) for name in commands}
    for name, question in _ASKING.items():
        rows[name] = ask([sys.executable, "-c", _ASK + question, str(folder.path)])
    looked = ask([sys.executable, "-c", _ASK + _LOOK_UP, str(folder.path), str(calls)])
    hit, miss = map(float, looked.out.split())
    rows["Cache.find, a hit"] = f"{hit:.0f} µs of CPU, the read included"
    rows["Cache.find, a miss"] = f"{miss:.1f} µs of CPU"
    return rows


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for name, finished, commands in (("finished", True, ["resume", "status"]), ("killed", False, ["status"])):
            runs_dir = Path(place) / name / "runs"
            runs_dir.mkdir(parents=True)
            folder = write_record(runs_dir, arguments.calls, finished=finished)
            size = sum(path.stat().st_size for path in folder.journal.glob("*.jsonl"))
            print(f"{name}: {size / arguments.calls:,.0f} bytes a call")
            print(table(measure(folder, arguments.calls, commands)))


if __name__ == "__main__":
    main()
