"""How long the commands take to start, beside Python itself and the packages that they need.

``python -m benchmarks.startup`` starts each of them ten times, in turn, and gives medians: less than a minute. For
``run`` it also tells when the first call reaches a server on this machine. Modules are compiled beforehand, as after
an installation. Parsl loads some large packages wherever they are installed: ``--python`` names the interpreter of an
environment that holds only what metis-flow needs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.results import Section, save, table_lines

STUDY = """\
version: 1
name: hello
model: {name: any, temperature: 0}
steps:
  ask:
    foreach: ${{ range(3) }}
    chat: "Say ${{ item }}."
"""
ENDPOINT = "kind: openai\nbase_url: {address}/v1\nauth: {{kind: none}}\n"
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "model": "any",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "one"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}
LOADED = "import sys, parsl; print(*(name for name in ('sqlalchemy', 'globus_compute_sdk') if name in sys.modules))"
FIRST = "run, first call at the server"
PASS = "python -c pass"
OPENAI = "python -c 'import openai'"
COMMANDS: Mapping[str, tuple[str, ...]] = {
    PASS: ("-c", "pass"),
    OPENAI: ("-c", "import openai"),
    "python -c 'import parsl'": ("-c", "import parsl"),
    "metis-flow --help": ("-m", "metis_flow.cli", "--help"),
    "metis-flow validate": ("-m", "metis_flow.cli", "validate", "hello.yaml"),
    "metis-flow run": ("-m", "metis_flow.cli", "run", "hello.yaml", "--endpoint", "./local.yaml", "--no-cache"),
}


class _Server(ThreadingHTTPServer):
    """Answers at once, and remembers when it was first asked."""

    first: float | None = None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        self.server.first = self.server.first or time.monotonic()
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@dataclass
class Times:
    """Of one command, in seconds: until it has ended, or the call came; and of CPU."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@contextmanager
def serving(folder: Path) -> Iterator[_Server]:
    """A server, and an endpoint's file for it."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_address[1]}"
            (folder / "local.yaml").write_text(ENDPOINT.format(address=address), encoding="utf-8")
            yield server
        finally:
            server.shutdown()
            thread.join()


def measure(python: str, rounds: int) -> dict[str, Times]:
    """Start all commands in turn, so many times, and once before that to compile."""
    times = {name: Times() for name in (*COMMANDS, FIRST)}
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as server:
        folder = Path(name)
        (folder / "hello.yaml").write_text(STUDY, encoding="utf-8")
        for number in range(rounds + 1):
            kept = times if number else {name: Times() for name in times}
            for command, arguments in COMMANDS.items():
                server.first = None
                began, cpu = time.monotonic(), _cpu()
                subprocess.run(
                    [python, *arguments],
                    cwd=folder,
                    env=environment(folder / "compiled"),
                    check=True,
                    capture_output=True,
                )
                kept[command].wall.append(time.monotonic() - began)
                kept[command].cpu.append(_cpu() - cpu)
                if server.first is not None:
                    kept[FIRST].wall.append(server.first - began)
    return times


def environment(compiled: Path) -> dict[str, str]:
    """This process's, with compiled modules in this folder."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(compiled)}


def _cpu() -> float:
    """Seconds of CPU that ended children have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def loaded_too(python: str) -> str:
    """What Parsl loads there though metis-flow does not need it."""
    return subprocess.run([python, "-c", LOADED], check=True, capture_output=True, text=True).stdout.strip()


def section(times: Mapping[str, Times], loaded: str) -> Section:
    """For RESULTS.md."""
    wall = {name: statistics.median(time.wall) for name, time in times.items()}
    rows = [
        (
            name,
            wall[name],
            f"{min(time.wall):.2f} to {max(time.wall):.2f}",
            statistics.median(time.cpu) if time.cpu else None,
            wall[name] / wall[PASS],
            wall[name] / wall[OPENAI],
        )
        for name, time in times.items()
    ]
    return Section(
        name="startup",
        title="Start-up",
        columns=("command", "s", "of all rounds", "CPU s", "times `pass`", "times `import openai`"),
        rows=rows,
        remarks=(
            f"Medians of {len(times[PASS].wall)} interleaved rounds, from the start of the process to its end, or to"
            " the arrival of the first call. All modules are compiled beforehand, and the files are in memory."
            + (f" Parsl loads {' and '.join(loaded.split())} here, which metis-flow does not need." if loaded else ""),
        ),
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--python", default=sys.executable, help="of an environment with metis-flow; this one if none")
    parser.add_argument("--small", action="store_true", help="two rounds; nothing is saved")
    given = parser.parse_args()
    found = section(measure(given.python, 2 if given.small else given.rounds), loaded_too(given.python))
    print("\n".join(table_lines(found.columns, found.rows)))
    if not given.small:
        save(found)


if __name__ == "__main__":
    main()
