"""``metis-flow init``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from metis_flow.errors import UsageError

STUDY = Path(__file__).resolve().parent.parent / "study"
WORKFLOW = "moons.yaml"
SCHEMA = "metis-flow.schema.json"


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
def command(folder: Path) -> None:
    """Make a small study in FOLDER, which runs as it is.

    It has a workflow, a prompt, data and a Python module. Nothing that is there already is changed.
    """
    import json

    from metis_flow.views.values import near
    from metis_flow.workflow.json_schema import workflow_schema

    files = {path.relative_to(STUDY): path.read_text(encoding="utf-8") for path in _sources()}
    files[Path(SCHEMA)] = json.dumps(workflow_schema(), indent=1) + "\n"
    there = [str(name) for name in files if (folder / name).exists()]
    if there:
        raise UsageError(
            f"there is already {', '.join(there)}",
            where=str(folder),
            hint="choose another folder: metis-flow init NAME",
        )
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(near(path))
    click.echo(f"\nnext: metis-flow run {shlex.quote(near(folder / WORKFLOW))}")


def _sources() -> list[Path]:
    return sorted(path for path in STUDY.rglob("*") if path.is_file() and path.suffix != ".pyc")
