"""Which files a ``module:function`` beside a workflow is made of, found by reading them: nothing is imported."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.machinery
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from metis_flow.errors import UsageError, did_you_mean


def split_target(target: str) -> tuple[str, str]:
    """Module and function of ``module:function``.

    Raises:
        UsageError: it is not of that form.
    """
    module, colon, function = target.partition(":")
    if not colon or not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise UsageError(
            f"'{target}' is not of the form module:function",
            hint="write the module's name without .py, a colon and the function's name, such as analysis:summarise",
        )
    return module, function


def files_of(module: str, folder: Path) -> list[Path]:
    """The files in the folder that importing the module runs: its packages' ``__init__.py`` and its own; or none."""
    files: list[Path] = []
    at = folder
    *packages, last = module.split(".")
    for package in packages:
        at = at / package
        if not at.is_dir():
            return []
        files.extend(path for path in [at / "__init__.py"] if path.is_file())
    for path in (at / last / "__init__.py", at / f"{last}.py"):
        if path.is_file():
            return [*files, path]
    return files if (at / last).is_dir() else []


def closure(module: str, folder: Path) -> list[Path]:
    """The files beside the workflow that the module is made of: its own first, then what they import, sorted."""
    found: dict[Path, None] = {}
    waiting = [module]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for path in files_of(name, folder):
            if path not in found:
                found[path] = None
                waiting.extend(_imported(path, folder))
    own = files_of(module, folder)
    return [*reversed(own), *sorted(set(found) - set(own))]


def digest(files: list[Path], folder: Path) -> str:
    """One hash for names and contents of the files; where they lie on this machine is no part of it."""
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(f"{path.relative_to(folder).as_posix()}\0{_hash(path.read_bytes())}\n".encode())
    return whole.hexdigest()


def source_files(target: str, folder: Path) -> list[Path]:
    """The files beside the workflow that ``module:function`` is made of.

    They are found by reading import statements (at the top, inside functions, relative ones, and
    ``import_module("name")`` with the name written out); nothing is imported.

    Args:
        target: ``module:function``.
        folder: the workflow's folder.

    Returns:
        The module's own file first, then the rest sorted; an empty list for an installed module.

    Raises:
        UsageError: there is no such module, or a file beside the workflow is no Python or has no such function.
    """
    module, function = split_target(target)
    files = closure(module, folder)
    if files:
        _check_function(files[0], function)
    elif installed_file(module) is None:
        raise module_not_found(module, folder)
    return files


def source_hash(target: str, folder: Path) -> str:
    """The identity of ``module:function``: a hash that changes when its code beside the workflow does.

    For an installed module it is that of the module's own file with its distribution's name and version.

    Raises:
        UsageError: as for `source_files`.
    """
    files = source_files(target, folder)
    if files:
        return _hash(f"{target}\n{digest(files, folder)}".encode())
    module, _ = split_target(target)
    origin = installed_file(module)
    code = _hash(origin.read_bytes()) if origin is not None and origin.is_file() else ""
    return _hash(f"{target}\n{_distribution(module.partition('.')[0])}\n{code}".encode())


def modules_beside(folder: Path) -> list[str]:
    """Names of the modules and packages in the folder."""
    return sorted(
        {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    )


def module_not_found(module: str, folder: Path) -> UsageError:
    """The error for a module that is neither beside the workflow nor installed."""
    return UsageError(
        f"there is no module '{module}' beside the workflow (in {folder}), and none is installed",
        hint=did_you_mean(module, modules_beside(folder)),
    )


workflow_folders: set[Path] = set()
"""Folders that modules were loaded from in this process: what lies in them is not installed."""


def installed_file(module: str) -> Path | None:
    """The file of an installed module, without importing it or its packages; None where there is none."""
    path: list[str] | None = None
    spec: importlib.machinery.ModuleSpec | None = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = _find_spec(".".join(parts[:count]), path)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or ())
    return Path(spec.origin or (path or [""])[0]) if spec is not None else None


def _find_spec(name: str, path: list[str] | None) -> importlib.machinery.ModuleSpec | None:
    installed = [place for place in sys.path if Path(place) not in workflow_folders]
    for finder in sys.meta_path:
        if hasattr(finder, "beside_workflows"):
            continue
        at_top = installed if finder is importlib.machinery.PathFinder else None
        spec = finder.find_spec(name, at_top if path is None else path)
        if spec is not None:
            return spec
    return None


def _distribution(top: str) -> str:
    import importlib.metadata  # slow to import, and seldom needed

    names = sorted(set(_distributions().get(top, ())))
    if not names:
        return f"python {platform.python_version()}"
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


@functools.lru_cache(maxsize=1)
def _distributions() -> dict[str, list[str]]:
    import importlib.metadata

    return dict(importlib.metadata.packages_distributions())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def parse(path: Path, content: bytes | None = None) -> ast.Module:
    """The syntax tree of a file.

    Raises:
        UsageError: it is no Python, with the line.
    """
    try:
        return ast.parse(path.read_bytes() if content is None else content)
    except SyntaxError as problem:
        raise syntax_error(problem, path) from None
    except (UnicodeDecodeError, ValueError) as problem:
        raise UsageError(f"this is no Python: {problem}", where=str(path)) from None


def syntax_error(problem: SyntaxError, path: Path) -> UsageError:
    """The error for a file that is no Python."""
    where = f"{path}:{problem.lineno}" if problem.lineno else str(path)
    return UsageError(f"this is no Python: {problem.msg}", where=where, detail=(problem.text or "").strip() or None)


def _imported(path: Path, folder: Path) -> tuple[str, ...]:
    """Dotted names of all that the file may import, those of the folder and others."""
    return _imported_names(path.read_bytes(), path, path.parent.relative_to(folder).parts)


@functools.lru_cache(maxsize=256)
def _imported_names(content: bytes, path: Path, package: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for node in ast.walk(parse(path, content)) for name in _imported_by(node, package))


def _imported_by(node: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from _imported_from(node, package)
    elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
        yield from (a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str))


def _called(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _imported_from(node: ast.ImportFrom, package: tuple[str, ...]) -> Iterator[str]:
    start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
    base = ".".join(part for part in (start, node.module or "") if part)
    if base:
        yield base
    for alias in node.names:  # what is imported may be a name in the module, or a module of the package
        yield ".".join(part for part in (base, alias.name) if part)


def _check_function(path: Path, function: str) -> None:
    names, complete = bound_names(parse(path))
    if function in names or not complete:
        return
    raise UsageError(
        f"there is no function '{function}' in {path.name}", where=str(path), hint=did_you_mean(function, names)
    )


def bound_names(tree: ast.Module) -> tuple[list[str], bool]:
    """Names that a module defines, and whether these are all (not so with ``import *`` or ``__getattr__``)."""
    names: set[str] = set()
    for node in _module_level(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
    return sorted(names - {"*"}), not names & {"*", "__getattr__"}


def _module_level(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _module_level(child)
