"""``metis-flow tasks``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.options import json_option


@click.group("tasks", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the tasks that `uses` may name.

    These are the library's, those of installed packages, and those in the current folder.
    """
    if context.invoked_subcommand is not None:
        return
    from metis_flow.tasks.registry import all_tasks
    from metis_flow.views.tasks import print_tasks, task_as_json

    tasks = all_tasks(Path.cwd())
    if as_json:
        print_document({"tasks": [task_as_json(task) for task in tasks.values()]})
    else:
        print_tasks(list(tasks.values()), sys.stdout)


@command.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one task: what it does, takes and returns."""
    from metis_flow.tasks.registry import find_task
    from metis_flow.views.tasks import print_task, task_as_json

    task = find_task(name, Path.cwd())
    if as_json:
        print_document(task_as_json(task))
    else:
        print_task(task, sys.stdout)
