"""docs/commands.md is what docs/make_commands.py writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cli_kit import Cli

from metis_flow.cli.commands import SUBJECTS

PRINT = "import runpy, sys; sys.stdout.write(runpy.run_path(sys.argv[1])['page']())"


def test_the_page_of_commands_is_up_to_date(cli: Cli, repository: Path) -> None:
    script = repository / "docs" / "make_commands.py"
    command = [sys.executable, "-c", PRINT, str(script)]
    done = subprocess.run(command, env=cli.environment(), capture_output=True, text=True, check=True)
    written = (repository / "docs" / "commands.md").read_text(encoding="utf-8")
    assert written == done.stdout, "run: python docs/make_commands.py"


def test_the_page_has_every_command(repository: Path) -> None:
    written = (repository / "docs" / "commands.md").read_text(encoding="utf-8")
    for _, names in SUBJECTS.values():
        assert all(f"\n### metis-flow {name}\n" in written for name in names)
    assert "\n### metis-flow auth token\n" in written
