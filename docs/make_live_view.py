"""Draws docs/live-view.svg: what a terminal shows in the middle of a real run of workflows/elements.yaml.

The local gateway stands for Metis, so that the picture is the same on every machine: it is slow, refuses a call now and
then, and two of its answers are never right. Needs tmux: ``python docs/make_live_view.py [SECONDS]``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from metis_flow.testing import Faults, Gateway, Limits

ROOT = Path(__file__).resolve().parent.parent
SESSION = "metis-flow-picture"
WIDTH, HEIGHT = 96, 20
MODEL = "gpt-oss-120b-131072"
COMMAND = "run workflows/elements.yaml --endpoint metis -p how_many=60"
ANSWER = {"symbol": "Cu", "atomic_number": 29, "group": 11, "period": 4, "state": "solid", "melting_point_k": 1358}
LIMITS = {"requests_per_second": 10, "tokens_per_minute": {"user": 60_000, "model": 100_000}, "concurrency": 4}


def answer(body: dict[str, Any], n: int) -> str:
    """What the gateway says: two elements have no group."""
    asked = json.dumps(body["messages"])
    return json.dumps(ANSWER | ({"group": None} if "bromine" in asked or "carbon" in asked else {}))


def tmux(*words: str) -> str:
    """Run one tmux command on a server of its own."""
    return subprocess.run(["tmux", "-L", SESSION, *words], check=True, capture_output=True, text=True).stdout


def screen_of_a_run(seconds: float) -> str:
    """Start the run in a terminal, and take the screen after some seconds."""
    faults = Faults(seed=3, rate={"429_requests": 0.06, "cut": 0.04})
    with (
        tempfile.TemporaryDirectory() as folder,
        Gateway(answer, latency=1.2, limits=Limits(), faults=faults) as gateway,
    ):
        endpoint = gateway.write_endpoint(folder, "metis", model=MODEL, limits=LIMITS)
        command = COMMAND.replace("metis", str(endpoint))
        size = ("-x", str(WIDTH), "-y", str(HEIGHT))
        line = f"env -u CI -u NO_COLOR {sys.executable} -m metis_flow.cli {command} --runs-dir {folder}/runs"
        tmux("new-session", "-d", *size, "-c", str(ROOT), line)
        try:
            time.sleep(seconds)
            return tmux("capture-pane", "-e", "-p").rstrip()
        finally:
            tmux("kill-server")


def main(seconds: float) -> None:
    """Draw what the screen shows."""
    screen = screen_of_a_run(seconds)
    with open("/dev/null", "w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(Text(f"$ metis-flow {COMMAND}", style="bold"))
        console.print(Text.from_ansi(screen))
        picture = console.export_svg(title="metis-flow")
    # the picture asks for fonts from the network; the reader's own will do
    (ROOT / "docs" / "live-view.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 14.0)
