"""Writes docs/commands.md from the help of the commands: ``python docs/make_commands.py``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from metis_flow.cli.commands import SUBJECTS, commands

PAGE = Path(__file__).resolve().parent / "commands.md"
WIDTH = 100
INTRODUCTION = """\
<!-- Written by docs/make_commands.py; do not edit. -->

# Commands

Where a command takes RUN, it means a run's id, the beginning of one, the path of its record, or `last` for the newest.
With `--json` a command prints one JSON document on standard output and nothing else there; on an error that is
`{"error": {"summary", "where", "hint", "code"}}`. Progress goes to standard error.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | some steps failed |
| 2 | the file or the command is wrong |
| 3 | log in first |
| 4 | a limit of the workflow was reached |
| 5 | stopped by SIGTERM or a time limit; can be resumed |
| 130 | interrupted with Ctrl-C; can be resumed |
"""


def page() -> str:
    """The whole page."""
    os.environ["COLUMNS"] = str(WIDTH)  # argparse, which writes the help of one command, has no other way
    parts = [INTRODUCTION]
    root = context(commands, "metis-flow", None)
    for subject, (_, names) in SUBJECTS.items():
        parts.append(f"## {subject}\n")
        for name in names:
            command = commands.get_command(root, name)
            assert command is not None
            parts += sections(command, name, root)
    return "\n".join(parts)


def sections(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    """The command's part of the page, and those of its own commands."""
    own = context(command, name, parent)
    text = "\n".join(line.rstrip() for line in command.get_help(own).strip().splitlines())
    yield f"### {own.command_path.replace(' [OPTIONS]', '')}\n\n```text\n{text}\n```\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(own):
            inner = command.get_command(own, below)
            assert inner is not None
            yield from sections(inner, below, own)


def context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    """A context of a fixed width."""
    return click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
