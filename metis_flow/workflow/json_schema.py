"""The JSON Schema of workflow files: that of the models, with the rules that hold between a step's keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from metis_flow.workflow.models import WorkflowFile
from metis_flow.workflow.step_models import NEEDS_ONE_OF, ONLY_FOR, VERBS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def workflow_schema() -> dict[str, Any]:
    """The JSON Schema of workflow files, with descriptions and examples for editors."""
    schema = WorkflowFile.model_json_schema(by_alias=True)
    _tidy(schema)
    step = schema["$defs"]["Step"]
    step["oneOf"] = [_present(verb) for verb in VERBS]
    rules = {**ONLY_FOR, **NEEDS_ONE_OF}
    step["allOf"] = [{"if": _present(name), "then": _any_of(others)} for name, others in rules.items()]
    schema["anyOf"] = [{"required": ["steps"]}, _present("include")]
    return {"$schema": DIALECT, "title": "metis-flow workflow", **schema}


def _present(name: str) -> dict[str, Any]:
    """That a key is there; a key without a value counts as left out."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def _any_of(names: Iterable[str]) -> dict[str, Any]:
    return {"anyOf": [_present(name) for name in names]}


def _tidy(data: Any, *, names: bool = False) -> None:
    """Names that do not fit are refused, and titles that only repeat a key are left out.

    Args:
        names: whether the keys of the data are names of the language, not words of JSON Schema.
    """
    if isinstance(data, dict):
        if not names:
            if isinstance(data.get("title"), str):
                del data["title"]
            if "patternProperties" in data:
                data.setdefault("additionalProperties", False)
        for name, part in data.items():
            if name not in ("examples", "default", "enum"):
                _tidy(part, names=not names and name in ("properties", "$defs", "patternProperties"))
    elif isinstance(data, list):
        for part in data:
            _tidy(part)
