"""A site file, the files that it extends, and the user's settings: put together, with the origin of each value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from metis_flow.errors import ConfigError, WorkflowError, did_you_mean
from metis_flow.inference.config_files import config_files, find_file, looks_like_path, packaged_folder
from metis_flow.sites.executors import KINDS
from metis_flow.workflow.source import Document, Location, parse_document, read_document

MARK = "(executors|extends)"
"""The top-level keys of which every site file has one, and no workflow; a part of a regular expression."""

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True)
class Layer:
    """One file, or one setting.

    Attributes:
        shown_as: the path, or ``--set FIELD=VALUE``.
        data: what it says, as the site's data.
        document: the file, with the place of each value; None for a setting.
    """

    shown_as: str
    data: Mapping[str, Any]
    document: Document | None = None

    def error(self, summary: str, place: Location, hint: str | None, *, key: bool = False) -> ConfigError:
        """An error at a value (or key) of this layer."""
        if self.document is None:
            return ConfigError(summary, where=self.shown_as, hint=hint)
        return _as_config_error(self.document.error(summary, place, hint=hint, key=key))


@dataclass
class Layers:
    """Everything that is said about one site; the later layers go before the earlier.

    Attributes:
        source: the file that the user meant.
        data: all of it put together.
        origins: which layer each value comes from, by its place.
    """

    source: Path
    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Location, Layer] = field(default_factory=dict)

    def add(self, layer: Layer) -> None:
        """Put a layer over what is there."""
        self._merge(self.data, layer.data, (), layer)

    def _merge(self, below: dict[str, Any], above: Mapping[str, Any], place: Location, layer: Layer) -> None:
        for name, value in above.items():
            here = (*place, name)
            if value is None:
                below.pop(name, None)
                self._forget(here)
                continue
            self.origins[here] = layer
            old = below.get(name)
            if (
                isinstance(value, dict)
                and isinstance(old, dict)
                and value.get("kind", old.get("kind")) == old.get("kind")
            ):
                self._merge(old, value, here, layer)
            else:
                self._forget(here, keep=True)
                below[name] = _copied(value)
                self.origins |= {(*here, *inner): layer for inner in _places(value)}

    def _forget(self, place: Location, *, keep: bool = False) -> None:
        for known in [
            known for known in self.origins if known[: len(place)] == place and not (keep and known == place)
        ]:
            del self.origins[known]

    def check(self, model: type[ModelT], **facts: object) -> ModelT:
        """The site, checked.

        Raises:
            ConfigError: something does not fit; ``where`` is ``file:line:column`` or the setting.
        """
        try:
            return model.model_validate({**self.data, **facts})
        except ValidationError as error:
            raise self._mistake(error, model) from None

    def _mistake(self, error: ValidationError, model: type[BaseModel]) -> ConfigError:
        item = error.errors(include_url=False)[0]
        place: Location = ()
        for part in item["loc"]:  # which also holds the kinds of executors, and marks of pydantic's own
            if (*place, part) in self.origins:
                place = (*place, part)
        name, kind = str(item["loc"][-1]) if item["loc"] else "", item["type"]
        layer = self.origin(place)
        if kind == "extra_forbidden":
            hint = did_you_mean(name, self._fields(place[:-1], model))
            return layer.error(f"unknown key '{name}'", place, hint, key=True)
        if kind == "missing":
            return layer.error(f"'{name}' is missing", place, f"add '{name}: …'")
        if kind == "union_tag_not_found":
            return layer.error(f"the executor '{name}' has no 'kind'", place, f"one of {', '.join(KINDS)}")
        if kind == "union_tag_invalid":
            word = item["ctx"]["tag"]
            place = (*place, "kind")
            return self.origin(place).error(f"'{word}' is no kind of executor", place, did_you_mean(word, KINDS))
        problem = item["ctx"]["error"] if kind == "value_error" else item["msg"]
        if not place:  # what several fields say together; the words begin with the one that is wrong
            place = (str(problem).split("'")[1],)
            return self.origin(place).error(str(problem), place, None)
        return layer.error(f"'{place[-1]}': {problem}", place, None)

    def origin(self, place: Location) -> Layer:
        """The layer that a value comes from, or else what it is part of."""
        while place and place not in self.origins:
            place = place[:-1]
        return self.origins[place] if place else next(reversed(self.origins.values()))

    def _fields(self, place: Location, model: type[BaseModel]) -> list[str]:
        """The keys that the object at a place may hold."""
        if len(place) == 2 and place[0] == "executors":
            model = KINDS[self.data["executors"][place[1]]["kind"]]
        return [*model.model_fields, *([] if place else ["extends"])]


def read_layers(name_or_path: str, *, beside: Path | None, settings: Sequence[str]) -> Layers:
    """The layers of a site: see `metis_flow.sites.config.find_site`."""
    chain = [find_file("sites", name_or_path, mark=MARK, beside=beside)]
    read: list[Layer] = []
    while True:
        path = chain[-1]
        data, document = _read(path)
        below = data.pop("extends", None)
        read.append(Layer(str(path), data, document))
        if below is None:
            break
        if not isinstance(below, str):
            raise read[-1].error("'extends' should be the name or the path of a site file", ("extends",), None)
        chain.append(_extended(below, chain, beside, read[-1]))
    layers = Layers(chain[0])
    for layer in (*reversed(read), *map(_setting, settings)):
        layers.add(layer)
    if not layers.data.get("executors"):
        raise read[0].error("'executors' is missing", (), "add 'executors: …', or 'extends: NAME'")
    return layers


def _extended(word: str, chain: Sequence[Path], beside: Path | None, layer: Layer) -> Path:
    """The file that a site extends. One that has its own name lies further down: a user's `polaris` may extend ours."""
    try:
        if looks_like_path(word):
            found = [find_file("sites", str(chain[-1].parent / word), mark=MARK)]
        else:
            found = [find_file("sites", word, mark=MARK, beside=beside)]
    except ConfigError as error:
        raise layer.error(error.summary, ("extends",), error.hint) from None
    if not looks_like_path(word):
        named = config_files("sites", mark=MARK), {word: packaged_folder("sites") / f"{word}.yaml"}
        found += [files[word] for files in named if word in files and files[word].is_file()]
    seen = {path.resolve() for path in chain}
    for path in found:
        if path.resolve() not in seen:
            return path
    raise layer.error(f"'{word}' extends itself", ("extends",), "name another site")


def _read(path: Path) -> tuple[dict[str, Any], Document]:
    try:
        document = read_document(path)
    except WorkflowError as error:
        raise _as_config_error(error) from None
    if document.problems:
        raise _as_config_error(document.problems[0])
    if not isinstance(document.data, dict):
        raise _as_config_error(document.error("the file should hold an object (key: value lines)"))
    return dict(document.data), document


def _setting(text: str) -> Layer:
    """The layer of one ``FIELD=VALUE``; the value is read as in a YAML file."""
    name, equals, value = text.partition("=")
    parts = name.strip().split(".")
    shown = f"--set {text}"
    if not equals or not all(parts):
        raise ConfigError(f"'{text}' is not FIELD=VALUE", where="--set", hint="for instance --set account=MyProject")
    try:
        document = parse_document(value, shown)
    except WorkflowError as error:
        raise ConfigError(error.summary, where=shown, hint=error.hint) from None
    if document.problems:
        raise ConfigError(document.problems[0].summary, where=shown, hint=document.problems[0].hint)
    data: Any = document.data
    for part in reversed(parts):
        data = {part: data}
    return Layer(shown, data)


def _same_kind(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    """Whether one object goes over the other; an executor of another kind takes its place instead."""
    return bool(above.get("kind", below.get("kind")) == below.get("kind"))


def _places(value: Any) -> Iterator[Location]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inside:
        yield (name,)
        yield from ((name, *inner) for inner in _places(part))


def _copied(value: Any) -> Any:
    """The value without what is null in it, and shared with nothing."""
    if isinstance(value, dict):
        return {name: _copied(part) for name, part in value.items() if part is not None}
    return list(value) if isinstance(value, list) else value


def _as_config_error(error: WorkflowError) -> ConfigError:
    return ConfigError(error.summary, where=error.where, hint=error.hint, detail=error.detail)
