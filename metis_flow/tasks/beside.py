"""Importing modules that lie beside a workflow: under their own names, afresh when a file changed, leaving no files.

Python's own import remembers a module until the process ends, tells an edited file by its second and size, and
writes ``__pycache__`` beside the user's files. A worker serves several workflows, and edits may follow within the
second: modules beside a workflow go through a finder of our own, which goes by what the files contain.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

from metis_flow.errors import UsageError
from metis_flow.tasks.sources import closure, digest, files_of, workflow_folders


@dataclass(frozen=True)
class _Loaded:
    module: ModuleType
    digest: str


_lock = threading.RLock()
_loaded: dict[tuple[Path, str], _Loaded] = {}
_served: dict[str, Path] = {}  # top-level module name -> the folder whose turn it is


def import_beside(module: str, folder: Path) -> ModuleType:
    """The module of this folder, imported now unless it is there already and none of its files changed.

    Of two folders with modules of one name each gets its own, one import at a time. Only an import inside a function
    that runs after the other folder's turn began would find the other's.

    Args:
        module: dotted name of a module that lies in the folder.
        folder: the workflow's folder, absolute.

    Raises:
        UsageError: a file has the name of one of Python's own or of a module that something else has imported.
        BaseException: whatever the module raises while it is imported.
    """
    with _lock:
        names = _module_names(closure(module, folder), folder)
        for name in names:
            _refuse_taken(name, folder)
        _serve(names, folder)
        return importlib.import_module(module)


def import_installed(module: str) -> ModuleType:
    """The installed module, also where a workflow served earlier has one of this name.

    Raises:
        BaseException: whatever the module raises while it is imported.
    """
    with _lock:
        top = module.partition(".")[0]
        if _served.pop(top, None) is not None:
            for name in [name for name in sys.modules if name.partition(".")[0] == top]:
                _forget(name)
        return importlib.import_module(module)


def folder_of(module: str) -> Path | None:
    """The workflow's folder that an imported module was found in; None for an installed one."""
    loader = getattr(getattr(sys.modules.get(module), "__spec__", None), "loader", None)
    return loader.folder if isinstance(loader, _Loader) else None


def _module_names(files: Sequence[Path], folder: Path) -> list[str]:
    names = []
    for path in files:
        parts = path.relative_to(folder).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return sorted(names)


def _serve(names: Sequence[str], folder: Path) -> None:
    """Makes ``import`` find this folder's modules: those already there and unchanged, and the finder for the rest."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    if folder not in workflow_folders:
        workflow_folders.add(folder)
        sys.path.append(str(folder))  # child processes that a user's function starts import by it
    for name in names:
        _served[name.partition(".")[0]] = folder
        loaded = _loaded.get((folder, name))
        if loaded is not None and loaded.digest == digest(closure(name, folder), folder):
            sys.modules[name] = loaded.module
        else:
            _forget(name)


def _forget(name: str) -> None:
    module = sys.modules.pop(name, None)
    package, _, last = name.rpartition(".")
    if module is not None and package in sys.modules and vars(sys.modules[package]).get(last) is module:
        delattr(sys.modules[package], last)  # else `from package import name` would still give the old one


def _refuse_taken(name: str, folder: Path) -> None:
    top = name.partition(".")[0]
    other = sys.modules.get(top)
    path = files_of(top, folder)
    if top in sys.stdlib_module_names:
        owner = "a module of Python itself"
    elif other is not None and folder_of(top) is None and path and not _lies_at(other, path[-1]):
        owner = f"an installed module ({getattr(other, '__file__', None) or top}), which is in use here"
    else:
        return
    where = str(path[-1]) if path else str(folder / top)
    raise UsageError(f"'{top}' is also the name of {owner}", where=where, hint="give the file another name")


def _lies_at(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path.resolve()


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the file as it is now; bytecode is neither read nor written."""

    @property
    def folder(self) -> Path:
        up = len(self.name.split(".")) + (1 if Path(self.path).name == "__init__.py" else 0)
        return Path(self.path).parents[up - 1]

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        key = (self.folder, self.name)
        _loaded[key] = _Loaded(module, digest(closure(self.name, self.folder), self.folder))
        try:
            super().exec_module(module)
        except BaseException:
            del _loaded[key]
            raise


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of the folder whose turn it is."""

    beside_workflows = True

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        folder = _served.get(fullname.partition(".")[0])
        if folder is None:
            return None
        for place in [str(folder)] if path is None else path:
            # A new finder each time: the usual one remembers a folder's list of files.
            finder = importlib.machinery.FileFinder(place, (_Loader, importlib.machinery.SOURCE_SUFFIXES))
            spec = finder.find_spec(fullname)
            if spec is not None:
                return spec
        return None


_finder = _Finder()
