"""Writes docs/language.md from the models of the language: ``python docs/make_language.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from metis_flow.errors import RETRY_KINDS
from metis_flow.workflow.fields import FromFile
from metis_flow.workflow.functions import GLOBALS, STATUS_FUNCTIONS
from metis_flow.workflow.json_schema import workflow_schema
from metis_flow.workflow.models import Limits, NotifySpec, Param, WorkflowFile
from metis_flow.workflow.outputs import TYPES
from metis_flow.workflow.step_models import (
    ONLY_FOR,
    VERBS,
    Chat,
    Examples,
    Matrix,
    Message,
    ModelSpec,
    OnError,
    ResourcesSpec,
    RetrySpec,
    Settings,
    Step,
)

PAGE = Path(__file__).resolve().parent / "language.md"
INTRODUCTION = """\
<!-- Written by docs/make_language.py; do not edit. -->

# The language, key by key

A workflow is one YAML file. `metis-flow schema` prints the same as JSON Schema, so that an editor completes and checks
it; `metis-flow validate FILE` checks all that can be known without a run. Unknown keys are errors.

Where a type says *expression*, the value may be one, `${{ … }}`. In texts of a chat, and at any depth under `with`,
`env`, `args`, `stdin`, `files`, `foreach`, `matrix` and `outputs`, expressions may stand everywhere. In `if`, `until`
and `check` the braces may be left out. Paths are relative to the workflow, also in a file that it includes.
"""
SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("The file", "What stands at the top.", WorkflowFile),
    ("A parameter", "Under `params`, by its name.", Param),
    ("Limits", "Under `limits`.", Limits),
    ("A notification", "`notify` is a command, or an object.", NotifySpec),
    ("A model", "`model` of the file or of a chat is the name of a model, or an object.", ModelSpec),
    ("A step", "Under `steps`, by its name.", Step),
    ("A chat", "`chat` is a text, or an object.", Chat),
    ("A message", "An entry of `messages`.", Message),
    ("Examples", "An entry of `messages`.", Examples),
    ("A text from a file", "`system`, `user` and `content` are a text, or an object.", FromFile),
    ("A matrix", "`matrix` has a list for each axis, and two keys that change the combinations.", Matrix),
    ("Tries", "`retry` is a number, or an object.", RetrySpec),
    ("Failures", "`on_error` is `continue`, `fail`, or an object.", OnError),
    ("Resources", "Under `resources`.", ResourcesSpec),
)
NAMES = (
    ("`params.NAME`", "everywhere", "a parameter"),
    ("`steps.NAME.output`", "everywhere", "the output of a step with one instance"),
    ("`steps.NAME.outputs`", "everywhere", "the outputs of a fan-out: successes only, in the order of the items"),
    (
        "`steps.NAME.results`",
        "everywhere",
        "a row for every item: `key`, `status`, `output`, `error`; of a chat `messages`",
    ),
    ("`steps.NAME.messages`", "everywhere", "the conversation of a chat with one instance, its answer last"),
    ("`steps.NAME.status`, `.error`", "everywhere", "how a step ended"),
    ("`item`, or what `as` says", "with `foreach`", "the item"),
    ("`matrix.AXIS`", "with `matrix`", "the value of an axis"),
    ("`repeat`", "with `repeat`", "the number of the repeat, from 0"),
    ("`key`", "with any of these three", "the name of the instance"),
    (
        "`round`, `previous`",
        "with `until`",
        "the number of the round, from 0, and the output of the one before (null at first)",
    ),
    ("`output`", "in `check` and `until`", "what came out"),
    ("`run.id`", "everywhere", "the run's id"),
)


WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
}


def page() -> str:
    """The whole page."""
    schema = workflow_schema()
    parts = [INTRODUCTION]
    for title, lead, model in SECTIONS:
        parts += [f"## {title}\n", f"{lead} {model.__doc__}\n", table(model, schema)]
        if model is Step:
            parts.append(which_verb())
    parts += [
        "## Names in expressions\n",
        rows(("name", "where", "what"), NAMES),
        f"Functions: {listed(GLOBALS)}; in `if` also {listed(sorted(STATUS_FUNCTIONS))}. "
        "Filters and tests are those of Jinja.\n",
        "## Types of fields\n",
        f"Under `output` a field is {listed(TYPES)}, a list of one of these such as `[string]`, or JSON Schema. "
        "A field written `name?` may be left out.\n",
        "## Failures to retry after\n",
        rows(("name", "what happened"), [(f"`{name}`", meaning) for name, meaning in RETRY_KINDS.items()]),
        "Under `on` a whole number is the exit code of a script.\n",
    ]
    return "\n".join(parts)


def table(model: type[BaseModel], schema: dict[str, Any]) -> str:
    """The keys of a model: type, default, meaning, example."""
    data = schema if model is WorkflowFile else schema["$defs"][model.__name__]
    own = model.model_fields
    if model is Chat:  # its settings have a table already
        own = {name: field for name, field in own.items() if name not in Settings.model_fields}
    found = []
    for name, field in own.items():
        key = field.alias or name
        spec = data["properties"][key]
        default = "*required*" if field.is_required() else written(field.get_default(call_default_factory=True))
        examples = ", ".join(f"`{flow(example)}`" for example in field.examples or ())
        found.append((f"`{key}`", kind(spec), default, spec["description"], examples))
    text = rows(("key", "type", "default", "meaning", "example"), found)
    return text + ("\nAnd the settings of a model, for this step.\n" if model is Chat else "")


def which_verb() -> str:
    """Which verbs take which modifiers."""
    lines = [(f"`{name}`", listed(verbs)) for name, verbs in ONLY_FOR.items()]
    return f"A step has one verb: {listed(VERBS)}. Modifiers that not every verb takes:\n\n" + rows(
        ("modifier", "for"), lines
    )


def kind(spec: dict[str, Any]) -> str:
    """The type of a value, in words."""
    if "$ref" in spec:
        name = spec["$ref"].rsplit("/", 1)[1]
        title = next(title for title, _, model in SECTIONS if model.__name__ == name)
        return f"[{title.lower()}](#{title.lower().replace(' ', '-')})"
    for several in ("anyOf", "oneOf"):
        if several in spec:
            words = [kind(part) for part in spec[several] if part != {"type": "null"}]
            if "number" in words:
                words = [word for word in words if word != "whole number"]
            return " or ".join(dict.fromkeys(words))
    if "const" in spec:
        return f"`{spec['const']}`"
    if spec.get("enum") == list(RETRY_KINDS):
        return "[failure](#failures-to-retry-after)"
    if "enum" in spec:
        return ", ".join(f"`{value}`" for value in spec["enum"])
    if "{" in spec.get("pattern", ""):
        return "expression"
    if spec.get("type") == "array":
        inner = kind(spec.get("items", {}))
        return "list" if inner == "any" else f"list of ({inner})" if " or " in inner else f"list of {inner}"
    if spec.get("type") == "object":
        parts = next(iter(spec.get("patternProperties", {}).values()), spec.get("additionalProperties"))
        inner = kind(parts if isinstance(parts, dict) else {})
        return "object" if inner == "any" else f"object of {inner}"
    return WORDS.get(spec.get("type", ""), "any")


def written(value: Any) -> str:
    """A default as it would stand in a file."""
    if value is None or value == {} or isinstance(value, BaseModel):
        return ""
    return f"`{flow(value)}`"


def flow(value: Any) -> str:
    """A value in YAML's flow style, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {flow(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if value.startswith("${{") else value
    return json.dumps(int(value) if value == 0.0 and isinstance(value, float) else value)


def rows(head: tuple[str, ...], lines: Any) -> str:
    """A table in Markdown."""
    shown = [head, tuple("---" for _ in head), *lines]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in shown)


def listed(words: Any) -> str:
    """Words as code, with commas."""
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
