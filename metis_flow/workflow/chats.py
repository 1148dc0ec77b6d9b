"""Reads a chat step: its messages, its model and its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metis_flow.workflow.bodies import ChatDef
from metis_flow.workflow.compiler import Compiler
from metis_flow.workflow.conversation import CONVERSATION, ExamplesMistake, read_examples
from metis_flow.workflow.expressions import Template
from metis_flow.workflow.source import Document, Location
from metis_flow.workflow.step_models import Settings
from metis_flow.workflow.trees import Constant, Value

_SETTINGS = tuple(Settings.model_fields)
_NUMBERS = ("temperature", "top_p", "max_tokens", "seed", "presence_penalty", "frequency_penalty")


class ChatReader:
    """Reads the chat steps of one document.

    Args:
        compiler: where expressions and mistakes go.
        main: the compiler of the workflow's own file.
        folder: the workflow's folder.
        model: the workflow's own model settings.
    """

    def __init__(self, compiler: Compiler, main: Compiler, folder: Path, model: Mapping[str, Any]) -> None:
        self.compiler = compiler
        self.main = main
        self.folder = folder
        self.model = model

    def read(self, raw: Any, place: Location, names: frozenset[str]) -> ChatDef | None:
        """The chat under ``chat``; None where it cannot be made."""
        if isinstance(raw, str):
            raw, user_place = {"user": raw}, place
        else:
            user_place = (*place, "user")
        if not isinstance(raw, dict):
            return None
        messages: list[tuple[str, Value]] = []
        if raw.get("system") is not None:
            messages.append(("system", self._text(raw["system"], (*place, "system"), names)))
        messages.extend(self._conversation(raw.get("messages"), (*place, "messages"), names))
        if raw.get("user") is not None:
            messages.append(("user", self._text(raw["user"], user_place, names)))
        if not any(role in ("user", CONVERSATION) for role, _ in messages):
            self.compiler.problem("a chat step asks something: 'user' or 'messages'", place, key=True)
        return ChatDef(tuple(messages), *self.asked(raw, place, names))

    def check_model(self, names: frozenset[str]) -> None:
        """Note the mistakes of the workflow's own model settings, which stand there whether a step chats or not."""
        self.asked({}, ("model",), names)

    def _conversation(self, raw: Any, place: Location, names: frozenset[str]) -> Iterator[tuple[str, Value]]:
        if isinstance(raw, str):
            yield CONVERSATION, self.compiler.single(raw, place, names)
        for index, message in enumerate(raw if isinstance(raw, list) else ()):
            spot = (*place, index)
            if isinstance(message, str):
                yield CONVERSATION, self.compiler.single(message, spot, names)
            elif isinstance(message, dict) and isinstance(message.get("role"), str):
                yield message["role"], self._text(message.get("content"), (*spot, "content"), names)
            elif isinstance(message, dict) and "from" in message:
                yield from self._examples(message["from"], (*spot, "from"))

    def _examples(self, name: Any, place: Location) -> list[tuple[str, Value]]:
        text = self.compiler.file_text(name, place, self.folder)
        if text is None:
            return []
        try:
            return [(role, Constant(content)) for role, content in read_examples(text)]
        except ExamplesMistake as mistake:
            document = Document(str(self.compiler.home / name), text)
            if mistake.line:
                error = document.error_at(mistake.summary, mistake.line, 1)
            else:
                error = self.compiler.document.error(f"the examples in '{name}': {mistake.summary}", place)
            self.compiler.problems.append(error)
            return []

    def asked(
        self, raw: dict[str, Any], place: Location, names: frozenset[str]
    ) -> tuple[Value | None, dict[str, Value]]:
        """The model and its settings: the workflow's, with those of a chat, or of a task that asks, over them."""
        own = raw.get("model")
        named = {"name": own} if isinstance(own, str) else own if isinstance(own, dict) else {}
        layers: list[tuple[Compiler, Mapping[str, Any], Location]] = [
            (self.main, self.model, ("model",)),
            (self.compiler, named, (*place, "model")),
            (self.compiler, raw, place),
        ]
        settings: dict[str, Value] = {}
        model: Value | None = None
        for compiler, layer, spot in layers:
            for setting in _SETTINGS:
                if layer.get(setting) is not None:
                    settings[setting] = _setting(compiler, layer[setting], (*spot, setting), names)
            if isinstance(layer.get("name"), str) and layer is not raw:
                model = compiler.text(layer["name"], _place_of_name(compiler, spot), names)
        return model, settings

    def _text(self, raw: Any, place: Location, names: frozenset[str]) -> Value:
        if isinstance(raw, dict) and "from" in raw:
            return self.compiler.file(raw["from"], (*place, "from"), self.folder, names)
        return self.compiler.text(raw, place, names, blocks=True) if isinstance(raw, str) else Constant(None)


def _setting(compiler: Compiler, raw: Any, place: Location, names: frozenset[str]) -> Value:
    value = compiler.tree(raw, place, names)
    whole = isinstance(value, Template) and value.source.strip().startswith("${{")  # else the model has said so
    if isinstance(value, Template) and whole and not value.lone and place[-1] in _NUMBERS:
        hint = "write '${{ … }}' without text, spaces or a line's end around it"
        compiler.problem(f"'{place[-1]}' takes one expression", place, hint=hint)
    return value


def _place_of_name(compiler: Compiler, place: Location) -> Location:
    """A model's name stands alone, or under 'name'."""
    return (*place, "name") if (*place, "name") in compiler.document.values else place
