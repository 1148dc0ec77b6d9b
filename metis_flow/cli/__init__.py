"""The command line: it parses, calls and prints. What a command needs is imported inside it."""

from __future__ import annotations

from metis_flow.cli.entry import main, run_command

__all__ = ["main", "run_command"]
