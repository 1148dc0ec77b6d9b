"""Endpoint and site files: where they lie, and how one is read."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from metis_flow.errors import ConfigError, WorkflowError, did_you_mean
from metis_flow.workflow.source import Document, Location, read_document

ConfigT = TypeVar("ConfigT", bound=BaseModel)


def packaged_folder(kind: str) -> Path:
    """The folder of the files that come with metis-flow: ``kind`` is ``endpoints`` or ``sites``.

    They lie in the installed package; in a checkout they lie beside it.

    Raises:
        ConfigError: the installation lacks them.
    """
    package = Path(__file__).resolve().parent.parent
    for parent in (package, package.parent):
        folder = parent / "configs" / kind
        if folder.is_dir():
            return folder
    raise ConfigError(f"the folder configs/{kind} is missing from this installation", hint="install metis-flow again")


def user_folder(kind: str) -> Path:
    """The user's own folder: ``~/.config/metis-flow/<kind>``, or under ``XDG_CONFIG_HOME``."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(base) / "metis-flow" / kind


def config_files(kind: str, *, mark: str, beside: Path | None = None) -> dict[str, Path]:
    """The file of each name: packaged ones, then the user's, then those beside the workflow; the later wins.

    Args:
        kind: ``endpoints`` or ``sites``.
        mark: a top-level key that every file of this kind has, and no workflow.
        beside: the workflow's folder; files of this kind lie in it, or in its folder ``<kind>/``.
    """
    files = {path.stem: path for folder in (packaged_folder(kind), user_folder(kind)) for path in _yaml_files(folder)}
    if beside is not None:
        files |= {path.stem: path for path in _yaml_files(beside) if _has_key(path, mark)}
        files |= {path.stem: path for path in _yaml_files(beside / kind)}
    return files


def find_file(kind: str, name_or_path: str, *, mark: str, beside: Path | None = None) -> Path:
    """The file that a user means by a name or a path; the rest as for `config_files`.

    Raises:
        ConfigError: there is none.
    """
    noun = kind.removesuffix("s")
    if looks_like_path(name_or_path):
        path = Path(name_or_path)
        if not path.is_file():
            raise ConfigError(f"there is no {noun} file {name_or_path}", hint="check the path")
        return path
    files = config_files(kind, mark=mark, beside=beside)
    if name_or_path not in files:
        raise ConfigError(f"there is no {noun} '{name_or_path}'", hint=did_you_mean(name_or_path, files))
    return files[name_or_path]


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.yaml"))


def _has_key(path: Path, key: str) -> bool:
    try:
        return re.search(rf"^{key}:", path.read_text(encoding="utf-8-sig"), re.MULTILINE) is not None
    except (OSError, UnicodeDecodeError):
        return False


def looks_like_path(word: str) -> bool:
    """Whether a word given for a name is a path: it has a separator or a suffix."""
    return os.sep in word or word.endswith((".yaml", ".yml", ".txt", ".env", ".sh"))


def read_config(path: Path, model: type[ConfigT], **facts: object) -> ConfigT:
    """A file, checked against its model.

    Args:
        path: a YAML file that holds one object.
        model: what it may hold.
        facts: further fields, which the file itself does not give.

    Raises:
        ConfigError: the file cannot be read, or does not fit; ``where`` is ``file:line:column``.
    """
    try:
        document = read_document(path)
    except WorkflowError as error:
        raise _as_config_error(error) from None
    if document.problems:
        raise _as_config_error(document.problems[0])
    if not isinstance(document.data, dict):
        raise _as_config_error(document.error("the file should hold an object (key: value lines)"))
    try:
        return model.model_validate({**document.data, **facts})
    except ValidationError as error:
        raise _as_config_error(_first_mistake(document, model, error)) from None


def _first_mistake(document: Document, model: type[BaseModel], error: ValidationError) -> WorkflowError:
    item = error.errors(include_url=False, include_context=True)[0]
    place: Location = ()
    for part in item["loc"]:
        if (*place, part) in document.values:
            place = (*place, part)
    name = str(item["loc"][-1]) if item["loc"] else ""
    if item["type"] == "extra_forbidden":
        known = _fields(model, place[:-1])
        return document.error(f"unknown key '{name}'", place, hint=did_you_mean(name, known), key=True)
    if item["type"] == "missing":
        return document.error(f"'{name}' is missing", place, hint=f"add '{name}: …'")
    problem = item.get("ctx", {}).get("error") if item["type"] == "value_error" else item["msg"]
    return document.error(f"'{place[-1]}': {problem}" if place else str(problem), place)


def _fields(model: type[BaseModel], place: Location) -> list[str]:
    """The keys that the object at a place may hold."""
    for part in place:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def _as_config_error(error: WorkflowError) -> ConfigError:
    return ConfigError(error.summary, where=error.where, hint=error.hint, detail=error.detail)
