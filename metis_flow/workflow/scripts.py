"""Reads a run step: its script, and what it is given."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from metis_flow.workflow import outputs
from metis_flow.workflow.bodies import FileDef, ShellDef
from metis_flow.workflow.compiler import Compiler
from metis_flow.workflow.expressions import has_expression
from metis_flow.workflow.source import Location
from metis_flow.workflow.trees import Constant, Value

OWN_FILES = ("script.sh", "stdin", "stdout", "stderr")
"""What the engine itself writes into the folder of a run step."""


def read_script(
    compiler: Compiler, raw: dict[str, Any], place: Location, folder: Path, names: frozenset[str]
) -> ShellDef | None:
    """The script of a step, with its modifiers; None where it cannot be made.

    Args:
        raw: the whole step.
        folder: the workflow's folder.
    """
    script = raw["run"]
    if not isinstance(script, str):
        return None
    summary = "a script holds no expressions: what a model said must not become shell code"
    hint = 'write \'env: {VALUE: "${{ … }}"}\' on the step and "$VALUE" in the script'
    compiler.refuse_expressions(script, (*place, "run"), summary, hint)
    args = raw["args"] if isinstance(raw.get("args"), list) else []
    secrets = raw["secrets"] if isinstance(raw.get("secrets"), list) else []
    stdin = raw.get("stdin")
    return ShellDef(
        script=script,
        env=_map(compiler, raw.get("env"), (*place, "env"), names),
        args=tuple(compiler.tree(arg, (*place, "args", index), names) for index, arg in enumerate(args)),
        stdin=None if stdin is None else compiler.tree(stdin, (*place, "stdin"), names),
        files=_files(compiler, raw.get("files"), (*place, "files"), folder, names),
        secrets=tuple(name for name in secrets if isinstance(name, str)),
    )


def _map(compiler: Compiler, raw: Any, place: Location, names: frozenset[str]) -> dict[str, Value]:
    if not isinstance(raw, dict):
        return {}
    return {name: compiler.tree(value, (*place, name), names) for name, value in raw.items()}


def _files(compiler: Compiler, raw: Any, place: Location, folder: Path, names: frozenset[str]) -> tuple[FileDef, ...]:
    files: list[FileDef] = []
    taken: list[PurePosixPath] = []
    for name, value in raw.items() if isinstance(raw, dict) else ():
        if not _is_free(compiler, name, taken, (*place, name)):
            continue
        taken.append(PurePosixPath(name))
        if isinstance(value, dict) and "from" in value and len(value) == 1:
            link = _link(compiler, value["from"], (*place, name, "from"), folder)
            files.append(FileDef(name, link=link))
        else:
            files.append(FileDef(name, content=compiler.tree(value, (*place, name), names)))
    return tuple(files)


def _is_free(compiler: Compiler, name: str, taken: list[PurePosixPath], place: Location) -> bool:
    """Whether a file of this name can be laid; through a link it could end up outside of the folder."""
    path = PurePosixPath(name)
    if not outputs.is_inside(name) or has_expression(name):
        compiler.problem(f"'{name}' is not a file inside the step's folder", place, key=True)
    elif path.parts[0] in OWN_FILES:
        hint = f"'{path.parts[0]}' is written there for every script"
        compiler.problem(f"the name '{name}' is taken", place, key=True, hint=hint)
    elif any(path == other or other in path.parents or path in other.parents for other in taken):
        compiler.problem(f"'{name}' and another file are in each other's way", place, key=True)
    else:
        return True
    return False


def _link(compiler: Compiler, raw: Any, place: Location, folder: Path) -> Value:
    if not isinstance(raw, str) or "\x00" in raw:
        compiler.problem("'from' takes the name of a file", place)
        return Constant(None)
    link = compiler.tree(raw, place, frozenset({"params"}))
    if isinstance(link, Constant) and isinstance(link.value, str) and not _exists(folder / link.value):
        hint = "paths are relative to the workflow"
        compiler.problem(f"there is no file '{link.value}'", place, hint=hint)
    return link


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False
