"""Draws docs/live-view.svg: what a terminal shows in the middle of a real run of workflows/elements.yaml.

Needs tmux, and metis-flow with its embedded model in this Python: ``python docs/make_live_view.py [SECONDS]``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
SESSION = "metis-flow-picture"
WIDTH, HEIGHT = 96, 16
ARGUMENTS = "run workflows/elements.yaml --endpoint embedded"


def tmux(*words: str) -> str:
    """Run one tmux command on a server of its own."""
    return subprocess.run(["tmux", "-L", SESSION, *words], check=True, capture_output=True, text=True).stdout


def main(seconds: float) -> None:
    """Start the run in a terminal, take the screen after some seconds, and draw it."""
    with tempfile.TemporaryDirectory() as runs:
        command = f"{sys.executable} -m metis_flow.cli {ARGUMENTS} --runs-dir {runs}"
        size = ("-x", str(WIDTH), "-y", str(HEIGHT))
        tmux("new-session", "-d", *size, "-c", str(ROOT), f"env -u CI -u NO_COLOR {command}")
        try:
            time.sleep(seconds)
            screen = tmux("capture-pane", "-e", "-p")
        finally:
            tmux("kill-server")
    with open("/dev/null", "w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(Text(f"$ metis-flow {ARGUMENTS}", style="bold"))
        console.print(Text.from_ansi(screen.rstrip()))
        picture = console.export_svg(title="metis-flow")
    # the picture asks for fonts from the network; the reader's own will do
    (ROOT / "docs" / "live-view.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0)
