"""What the commands that are shown to users call things."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metis_flow.record.folder import RunFolder


def run_name(folder: RunFolder, runs_dir: Path) -> str:
    """How to name a run to another command: its id where that is looked for, else its path."""
    from metis_flow.engine.options import RUNS_DIR

    if folder.path.parent == RUNS_DIR.absolute() and runs_dir.absolute() == RUNS_DIR.absolute():
        return folder.id
    return shlex.quote(str(folder.path))
