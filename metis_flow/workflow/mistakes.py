"""What pydantic found wrong with a file, said in the file's own terms and places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from metis_flow.errors import WorkflowError, WorkflowInvalid, did_you_mean
from metis_flow.workflow import fields, models, step_models
from metis_flow.workflow.source import MAX_MISTAKES, Document, Location

_FOREIGN = {
    "continue-on-error": "write 'on_error: continue'",
    "timeout-minutes": "write 'timeout: 20m'",
    "continue_on_error": "write 'on_error: continue'",
    "strategy": "write 'matrix' on the step itself",
    "fail-fast": "write 'on_error': without it a failure lets the others finish",
    "max-parallel": "write 'max_parallel' on the step itself",
    "imports": "write 'include'",
    "includes": "write 'include'",
    "retries": "write 'retry: 3'",
    "max_retries": "write 'retry: 3'",
    "examples": "write 'messages: [{from: FILE}]'",
    "few_shot": "write 'messages: [{from: FILE}]'",
    "subworkflow": "write 'workflow: FILE'",
    "while": "write 'until' and 'max_rounds'",
    "scatter": "write 'foreach'",
    "jobs": "steps stand directly under 'steps'",
    "stages": "steps stand directly under 'steps'",
    "rules": "steps stand directly under 'steps'",
    "cmd": "write 'run'",
    "shell": "write 'run'",
    "script": "write 'run'",
    "prompt": "write 'chat'",
    "deps": "edges follow from references to steps.NAME, or 'needs'",
    "depends_on": "edges follow from references to steps.NAME, or 'needs'",
    "outs": "write 'output'",
    "input": "write 'with', 'env', 'args', 'stdin' or 'files'",
    "for_each": "write 'foreach'",
    "loop": "write 'foreach'",
    "when": "write 'if'",
}
_RESOURCES = {
    "nodes": "nodes",
    "ntasks": "ranks_per_node",
    "ranks": "ranks_per_node",
    "cores": "cores",
    "cpus": "cores",
    "threads": "cores",
    "gpus": "gpus",
    "gpu": "gpus",
    "memory": "memory",
    "mem": "memory",
}
"""What other languages write on a step itself, and where it stands under ``resources``."""

_KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object (key: value lines)",
    "model_type": "an object (key: value lines)",
    "model_attributes_type": "an object (key: value lines)",
}


_BOUNDS = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal"})
_EXPRESSION = "one expression '${{ … }}'"


class Mistakes(list[WorkflowError]):
    """The mistakes found so far. One too many ends the search: these are raised, as `WorkflowInvalid`."""

    def append(self, problem: WorkflowError) -> None:
        """Note a mistake."""
        if len(self) == MAX_MISTAKES:
            summary = f"there are more than {MAX_MISTAKES} mistakes"
            raise WorkflowInvalid([*self, WorkflowError(summary, where=problem.where, hint="correct these first")])
        super().append(problem)

    def extend(self, problems: Iterable[WorkflowError]) -> None:
        """Note several."""
        for problem in problems:
            self.append(problem)


def mistakes(document: Document, error: ValidationError) -> list[WorkflowError]:
    """The mistakes of a file, one error for each place, in file order."""
    found: dict[tuple[Location, str], list[Mapping[str, Any]]] = {}
    for item in error.errors(include_url=False, include_input=True):
        found.setdefault(_place(document, item), []).append(dict(item))
    above = {place[:depth] for place, _ in found for depth in range(len(place))}
    keyed = {place for place, word in found if word}
    problems = Mistakes()
    for (place, name), items in found.items():
        is_container = any(isinstance(item["input"], dict | list) for item in items)
        if not name and is_container and (place in above or place in keyed):
            continue  # the other form of a "text or object" value: what is wrong inside says more
        problems.append(_problem(document, place, name, items))
    return problems


def _place(document: Document, item: Mapping[str, Any]) -> tuple[Location, str]:
    """Where in the file an error is, and the key it speaks of where it speaks of one."""
    place: Location = ()
    for part in item["loc"]:
        if (*place, part) in document.values:
            place = (*place, part)
    last = str(item["loc"][-1]) if item["loc"] else ""
    if item["type"] in ("extra_forbidden", "missing"):
        return (place[:-1] if place and str(place[-1]) == last and item["type"] == "extra_forbidden" else place), last
    return (place, "[key]") if last == "[key]" else (place, "")


def _problem(document: Document, place: Location, name: str, items: list[Mapping[str, Any]]) -> WorkflowError:
    first = items[0]
    if first["type"] == "extra_forbidden":
        asked = _RESOURCES.get(name) if len(place) == 2 and place[0] == "steps" else None
        hint = (
            f"write 'resources: {{{asked}: …}}'"
            if asked
            else _FOREIGN.get(name) or did_you_mean(name, _known_keys(document, place))
        )
        return document.error(f"unknown key '{name}'{_inside(place)}", (*place, name), hint=hint, key=True)
    if first["type"] == "missing":
        return document.error(f"'{name}' is missing{_inside(place)}", place, key=True, hint=f"add '{name}: …'")
    if name == "[key]":
        return document.error(f"the name '{place[-1]}' is not allowed", place, key=True, hint=_name_hint(place))
    shown = _shown(first["input"])
    wanted = _wanted(items)
    label = _label(place)
    if first["type"] == "string_pattern_mismatch" and place == ("name",):
        return document.error(f"the name {shown} is not allowed", place, hint=_name_hint(place))
    if first["type"] == "value_error":
        return document.error(f"{label}: {first['ctx']['error']}", place)
    if first["type"] == "too_short":
        return document.error(f"{label} is empty", place)
    hint = _choice_hint(first) or _type_hint(first["input"], wanted)
    return document.error(f"{label} should be {wanted}, not {shown}", place, hint=hint)


def _label(place: Location) -> str:
    if not place:
        return "the file"
    if isinstance(place[-1], int) and len(place) > 1:
        return f"item {place[-1] + 1} of '{place[-2]}'"
    return f"'{place[-1]}'"


def _wanted(items: Iterable[Mapping[str, Any]]) -> str:
    words: list[str] = []
    bounds = [item for item in items if item["type"] in _BOUNDS]
    for item in bounds or items:  # of the right type, and out of bounds: other types would be no help
        kind = item["type"]
        if kind == "expression":
            word = _EXPRESSION
        elif kind == "literal_error":
            word = str(item["ctx"]["expected"]).replace("'", "")
        elif kind == "string_pattern_mismatch":
            word = "a plain name"
        elif kind in _KINDS:
            word = _KINDS[kind]
        else:
            word = str(item["msg"]).removeprefix("Input should be ")
        if word not in words:
            words.append(word)
    return " or ".join(words)


def _choice_hint(item: Mapping[str, Any]) -> str | None:
    if item["type"] != "literal_error" or not isinstance(item["input"], str):
        return None
    choices = re.findall(r"'([^']*)'", str(item["ctx"]["expected"]))
    close = did_you_mean(item["input"], choices)
    return close if close and close.startswith("did") else None


def _type_hint(value: Any, wanted: str) -> str | None:
    if isinstance(value, str) and ("number" in wanted or "true or false" in wanted or wanted.isdigit()):
        meant = value.strip()[:1].isdigit() or value.strip()[:1] == "-" or value.strip() in ("true", "false")
        return "write it without quotes" if meant else None
    if isinstance(value, int | float) and not isinstance(value, bool) and "text" in wanted:
        return "quote it"
    if isinstance(value, str) and value.lower() in ("yes", "no", "on", "off"):
        return "write true or false"
    return None


def _name_hint(place: Location) -> str:
    if place and place[0] == "name":
        return "lower-case letters, digits, '_' and '-', a letter first"
    if len(place) > 1 and place[0] == "steps" and len(place) == 2:
        return "step names are lower-case letters, digits and '_', a letter first"
    return "letters, digits and '_', no digit first"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…'"


def _inside(place: Location) -> str:
    return f" in '{place[-1]}'" if place and isinstance(place[-1], str) else ""


def _known_keys(document: Document, place: Location) -> list[str]:
    """The keys that the model at a place knows."""
    model: type[BaseModel] = models.WorkflowFile
    last = place[-1] if place else None
    if len(place) == 2 and place[0] == "params":
        model = models.Param
    elif len(place) == 2 and place[0] == "steps":
        model = step_models.Step
    elif last in ("system", "user", "content"):
        model = fields.FromFile
    elif last == "model":
        model = step_models.ModelSpec
    elif last == "chat":
        model = step_models.Chat
    elif last == "on_error":
        model = step_models.OnError
    elif last == "retry":
        model = step_models.RetrySpec
    elif last == "resources":
        model = step_models.ResourcesSpec
    elif last == "limits":
        model = models.Limits
    elif last == "notify":
        model = models.NotifySpec
    elif "messages" in place:
        model = step_models.Examples if (*place, "from") in document.keys else step_models.Message
    return [field.alias or name for name, field in model.model_fields.items()]
