"""Reads one step of a file into its definition, with every expression compiled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, cast

from metis_flow.errors import did_you_mean
from metis_flow.units import parse_duration
from metis_flow.workflow import outputs
from metis_flow.workflow.compiler import BASE_NAMES, Compiler
from metis_flow.workflow.definition import CallDef, ChatDef, FileDef, ShellDef, StepDef, Verb
from metis_flow.workflow.expressions import Template, has_expression
from metis_flow.workflow.functions import GLOBALS, STATUS_FUNCTIONS
from metis_flow.workflow.models import STEP_NAME, VERBS, Settings
from metis_flow.workflow.schemas import read_output
from metis_flow.workflow.source import Location
from metis_flow.workflow.trees import Constant, Value

RESERVED = (
    BASE_NAMES
    | GLOBALS.keys()
    | STATUS_FUNCTIONS
    | {"key", "output", "matrix", "repeat", "round", "previous", "self", "loop"}
    | {"true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else"}
)
"""Names that ``as`` cannot give: those that expressions have already, and the words of their language."""
OWN_FILES = ("script.sh", "stdin", "stdout", "stderr")
"""What the engine itself writes into the folder of a run step."""
_ONLY_FOR = {
    "with": ("python", "uses"),
    "env": ("run",),
    "args": ("run",),
    "stdin": ("run",),
    "files": ("run",),
    "secrets": ("run",),
    "repair": ("chat",),
}
_SETTINGS = tuple(Settings.model_fields)
_NUMBERS = ("temperature", "top_p", "max_tokens", "seed", "presence_penalty", "frequency_penalty")


class StepReader:
    """Reads the steps of one document.

    Args:
        compiler: where expressions and mistakes go.
        folder: the workflow's folder.
        model: the workflow's own model settings.
    """

    def __init__(self, compiler: Compiler, folder: Path, model: Mapping[str, Any]) -> None:
        self.compiler = compiler
        self.folder = folder
        self.model = model

    def read(self, name: str, raw: Any) -> StepDef | None:
        """The definition of a step, or None where it cannot be made (the compiler holds the mistakes)."""
        place: Location = ("steps", name)
        if not isinstance(raw, dict):
            return None
        verb = self._verb(raw, place)
        item = raw.get("as") if isinstance(raw.get("as"), str) else "item"
        self._check_modifiers(raw, verb, place)
        is_fan_out = raw.get("foreach") is not None
        names = BASE_NAMES | ({str(item), "key"} if is_fan_out else frozenset())
        foreach = self.compiler.tree(raw["foreach"], (*place, "foreach"), BASE_NAMES) if is_fan_out else None
        self._check_foreach(foreach, place)
        key = self._key(raw, place, names)
        condition = self.compiler.condition(raw.get("if"), (*place, "if"), names | STATUS_FUNCTIONS)
        check = self.compiler.condition(raw.get("check"), (*place, "check"), names | {"output"})
        output = read_output(self.compiler, raw.get("output"), verb, (*place, "output"), self.folder)
        needs = self._needs(raw.get("needs"), place)
        body = self._body(raw, verb, place, names)
        if verb is None or body is None:
            return None
        continues, min_success = _on_error(raw.get("on_error"))
        return StepDef(
            name=name,
            verb=verb,
            body=body,
            foreach=foreach,
            item=str(item),
            key=key,
            condition=condition,
            needs=needs,
            output=output,
            check=check,
            repair=raw["repair"] if isinstance(raw.get("repair"), int) else 0,
            continues=continues,
            min_success=min_success,
            timeout=_duration(raw.get("timeout")),
        )

    def _verb(self, raw: dict[str, Any], place: Location) -> Verb | None:
        verbs = [verb for verb in VERBS if raw.get(verb) is not None]
        if len(verbs) == 1:
            return cast(Verb, verbs[0])
        if verbs:
            summary = f"a step has one verb, and '{place[-1]}' has {' and '.join(verbs)}"
            self.compiler.problem(summary, (*place, verbs[1]), key=True, hint="make two steps of it")
        else:
            hint = "one of: " + ", ".join(VERBS)
            self.compiler.problem(f"the step '{place[-1]}' has no verb", place, key=True, hint=hint)
        return None

    def _check_modifiers(self, raw: dict[str, Any], verb: str | None, place: Location) -> None:
        for modifier, verbs in _ONLY_FOR.items():
            if verb is not None and raw.get(modifier) is not None and verb not in verbs:
                summary = f"'{modifier}' is for {' and '.join(verbs)} steps, and '{place[-1]}' is a {verb} step"
                self.compiler.problem(summary, (*place, modifier), key=True)
        for modifier in ("as", "key"):
            if raw.get(modifier) is not None and raw.get("foreach") is None:
                self.compiler.problem(f"'{modifier}' needs 'foreach' on the step", (*place, modifier), key=True)
        if isinstance(raw.get("as"), str) and raw["as"] in RESERVED:
            self.compiler.problem(f"the name '{raw['as']}' is taken", (*place, "as"), hint="choose another")

    def _check_foreach(self, foreach: Value | None, place: Location) -> None:
        if isinstance(foreach, Constant) and foreach.value is not None and not isinstance(foreach.value, list | dict):
            hint = "for instance 'foreach: ${{ steps.load.output }}'"
            self.compiler.problem(
                "'foreach' should be a list, an object or an expression", (*place, "foreach"), hint=hint
            )
        elif isinstance(foreach, Template) and not foreach.lone:
            hint = "write 'foreach: ${{ … }}' on one line"
            self.compiler.problem(
                "'foreach' takes one expression, without text around it", (*place, "foreach"), hint=hint
            )

    def _key(self, raw: dict[str, Any], place: Location, names: frozenset[str]) -> Template | None:
        if not isinstance(raw.get("key"), str) or raw.get("foreach") is None:
            return None
        value = self.compiler.text(raw["key"], (*place, "key"), names - {"key"})
        if isinstance(value, Template):
            return value
        if value.evaluate({}) is not None:
            self.compiler.problem(
                "'key' is the same for every item", (*place, "key"), hint="for instance '${{ item.id }}'"
            )
        return None

    def _needs(self, raw: Any, place: Location) -> tuple[str, ...]:
        names = [raw] if isinstance(raw, str) else raw if isinstance(raw, list) else []
        for index, name in enumerate(names):
            if isinstance(name, str) and re.match(STEP_NAME, name) and name not in self.compiler.steps:
                spot = (*place, "needs", index) if isinstance(raw, list) else (*place, "needs")
                self.compiler.problem(f"there is no step '{name}'", spot, hint=did_you_mean(name, self.compiler.steps))
        return tuple(name for name in names if isinstance(name, str))

    def _body(
        self, raw: dict[str, Any], verb: str | None, place: Location, names: frozenset[str]
    ) -> ChatDef | ShellDef | CallDef | None:
        if verb == "chat":
            return self._chat(raw["chat"], (*place, "chat"), names)
        if verb == "run":
            return self._shell(raw, place, names) if isinstance(raw["run"], str) else None
        if verb is None or not isinstance(raw[verb], str):
            return None
        target = raw[verb]
        summary = f"'{verb}' takes a plain name: what a model said never becomes the name of code"
        if self.compiler.refuse_expressions(target, (*place, verb), summary, "choose the step with 'if'"):
            return None
        module, colon, function = target.partition(":")
        if verb == "python" and not (colon and function.isidentifier() and module.replace(".", "_").isidentifier()):
            hint = "for instance 'python: analysis:summarise'"
            self.compiler.problem("'python' should be module:function", (*place, verb), hint=hint)
        arguments = self.compiler.tree(raw.get("with") or {}, (*place, "with"), names)
        return CallDef(target, arguments)

    def _chat(self, raw: Any, place: Location, names: frozenset[str]) -> ChatDef | None:
        if isinstance(raw, str):
            raw, user_place = {"user": raw}, place
        else:
            user_place = (*place, "user")
        if not isinstance(raw, dict):
            return None
        messages: list[tuple[str, Value]] = []
        if raw.get("system") is not None:
            messages.append(("system", self._text(raw["system"], (*place, "system"), names)))
        conversation = raw["messages"] if isinstance(raw.get("messages"), list) else []
        for index, message in enumerate(conversation):
            if isinstance(message, dict) and isinstance(message.get("role"), str):
                spot = (*place, "messages", index, "content")
                messages.append((message["role"], self._text(message.get("content"), spot, names)))
        if raw.get("user") is not None:
            messages.append(("user", self._text(raw["user"], user_place, names)))
        if not any(role == "user" for role, _ in messages):
            self.compiler.problem("a chat step asks something: 'user' or 'messages'", place, key=True)
        return self._with_settings(raw, tuple(messages), place, names)

    def _with_settings(
        self, raw: dict[str, Any], messages: tuple[tuple[str, Value], ...], place: Location, names: frozenset[str]
    ) -> ChatDef:
        own = raw.get("model")
        layers: list[tuple[Mapping[str, Any], Location]] = [(self.model, ("model",))]
        named = {"name": own} if isinstance(own, str) else own if isinstance(own, dict) else {}
        layers.append((named, (*place, "model")))
        layers.append((raw, place))
        settings: dict[str, Value] = {}
        model: Value | None = None
        for layer, spot in layers:
            for setting in _SETTINGS:
                if layer.get(setting) is not None:
                    settings[setting] = self._setting(layer[setting], (*spot, setting), names)
            if isinstance(layer.get("name"), str) and layer is not raw:
                model = self.compiler.text(layer["name"], self._place_of_name(spot), names)
        return ChatDef(messages, model, settings)

    def check_model(self) -> None:
        """Note the mistakes of the workflow's own model settings, which stand there whether a step chats or not."""
        self._with_settings({}, (), ("model",), BASE_NAMES)

    def _setting(self, raw: Any, place: Location, names: frozenset[str]) -> Value:
        value = self.compiler.tree(raw, place, names)
        whole = isinstance(value, Template) and value.source.strip().startswith("${{")  # else the model has said so
        if isinstance(value, Template) and whole and not value.lone and place[-1] in _NUMBERS:
            hint = "write '${{ … }}' without text, spaces or a line's end around it"
            self.compiler.problem(f"'{place[-1]}' takes one expression", place, hint=hint)
        return value

    def _place_of_name(self, place: Location) -> Location:
        """A model's name stands alone, or under 'name'."""
        return (*place, "name") if (*place, "name") in self.compiler.document.values else place

    def _text(self, raw: Any, place: Location, names: frozenset[str]) -> Value:
        if isinstance(raw, dict) and "from" in raw:
            return self.compiler.file(raw["from"], (*place, "from"), self.folder, names)
        return self.compiler.text(raw, place, names, blocks=True) if isinstance(raw, str) else Constant(None)

    def _shell(self, raw: dict[str, Any], place: Location, names: frozenset[str]) -> ShellDef:
        script = raw["run"]
        summary = "a script holds no expressions: what a model said must not become shell code"
        hint = 'write \'env: {VALUE: "${{ … }}"}\' on the step and "$VALUE" in the script'
        self.compiler.refuse_expressions(script, (*place, "run"), summary, hint)
        env = self._map(raw.get("env"), (*place, "env"), names)
        args = raw["args"] if isinstance(raw.get("args"), list) else []
        secrets = raw["secrets"] if isinstance(raw.get("secrets"), list) else []
        stdin = raw.get("stdin")
        return ShellDef(
            script=script,
            env=env,
            args=tuple(self.compiler.tree(arg, (*place, "args", index), names) for index, arg in enumerate(args)),
            stdin=None if stdin is None else self.compiler.tree(stdin, (*place, "stdin"), names),
            files=self._files(raw.get("files"), (*place, "files"), names),
            secrets=tuple(name for name in secrets if isinstance(name, str)),
        )

    def _map(self, raw: Any, place: Location, names: frozenset[str]) -> dict[str, Value]:
        if not isinstance(raw, dict):
            return {}
        return {name: self.compiler.tree(value, (*place, name), names) for name, value in raw.items()}

    def _files(self, raw: Any, place: Location, names: frozenset[str]) -> tuple[FileDef, ...]:
        files: list[FileDef] = []
        taken: list[PurePosixPath] = []
        for name, value in raw.items() if isinstance(raw, dict) else ():
            if not self._is_free(name, taken, (*place, name)):
                continue
            taken.append(PurePosixPath(name))
            if isinstance(value, dict) and "from" in value and len(value) == 1:
                link = self._link(value["from"], (*place, name, "from"))
                files.append(FileDef(name, link=link))
            else:
                files.append(FileDef(name, content=self.compiler.tree(value, (*place, name), names)))
        return tuple(files)

    def _is_free(self, name: str, taken: list[PurePosixPath], place: Location) -> bool:
        """Whether a file of this name can be laid; through a link it could end up outside of the folder."""
        path = PurePosixPath(name)
        if not outputs.is_inside(name) or has_expression(name):
            self.compiler.problem(f"'{name}' is not a file inside the step's folder", place, key=True)
        elif path.parts[0] in OWN_FILES:
            hint = f"'{path.parts[0]}' is written there for every script"
            self.compiler.problem(f"the name '{name}' is taken", place, key=True, hint=hint)
        elif any(path == other or other in path.parents or path in other.parents for other in taken):
            self.compiler.problem(f"'{name}' and another file are in each other's way", place, key=True)
        else:
            return True
        return False

    def _link(self, raw: Any, place: Location) -> Value:
        if not isinstance(raw, str) or "\x00" in raw:
            self.compiler.problem("'from' takes the name of a file", place)
            return Constant(None)
        link = self.compiler.tree(raw, place, frozenset({"params"}))
        if isinstance(link, Constant) and isinstance(link.value, str) and not _exists(self.folder / link.value):
            hint = "paths are relative to the workflow"
            self.compiler.problem(f"there is no file '{link.value}'", place, hint=hint)
        return link


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def _on_error(raw: Any) -> tuple[bool, float]:
    if raw == "continue":
        return True, 0.0
    if isinstance(raw, dict):
        share = raw.get("min_success", 0.0)
        return bool(raw.get("continue", False)), float(share) if isinstance(share, int | float) else 0.0
    return False, 0.0


def _duration(raw: Any) -> float | None:
    try:
        return None if raw is None else parse_duration(raw)
    except (ValueError, AttributeError, OverflowError):
        return None  # the model has said so already
