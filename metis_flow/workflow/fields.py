"""The kinds of values that keys of a workflow file hold, and what all its models share."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from metis_flow.units import parse_duration, parse_size

STEP_NAME = r"^[a-z][a-z0-9_]*$"
WORKFLOW_NAME = r"^[a-z][a-z0-9_-]*$"
VARIABLE_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
EXECUTOR_NAME = r"^[A-Za-z][A-Za-z0-9_-]*$"

StepName = Annotated[str, StringConstraints(pattern=STEP_NAME)]
VariableName = Annotated[str, StringConstraints(pattern=VARIABLE_NAME)]
_EXPRESSION = r"^\s*\$\{\{[\s\S]*\}\}\s*$"


def _expression(value: Any) -> Any:
    if not isinstance(value, str) or not re.match(_EXPRESSION, value):
        raise PydanticCustomError("expression", "one expression")
    return value


ExpressionText = Annotated[
    str,
    BeforeValidator(_expression, json_schema_input_type=Annotated[str, Field(pattern=_EXPRESSION)]),
]
Number = float | ExpressionText
Integer = int | ExpressionText
Scalar = str | int | float | bool | None
Count = Annotated[int, Field(gt=0)]
Condition = str | bool


class Model(BaseModel):
    """Base of all: unknown keys are errors, and a value is taken as it is written (no '3' for 3)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True, protected_namespaces=())


class FromFile(Model):
    """A text that comes from a file beside the workflow."""

    from_: str = Field(alias="from", description="The file, relative to the workflow.", examples=["prompts/ask.md"])


Text = str | FromFile


def zero_or_duration(value: Any) -> Any:
    """Seconds of a duration that may be nothing, such as ``0`` or ``"0s"``.

    Raises:
        ValueError: it is no duration.
    """
    nothing = isinstance(value, str) and re.fullmatch(r"\s*0+\s*(ms|min|[smhd])?\s*", value)
    return 0.0 if nothing or (value == 0 and not isinstance(value, bool)) else _duration(value)


def _duration(value: Any) -> Any:
    if not isinstance(value, str | int | float):
        return value
    try:
        return parse_duration(value)
    except OverflowError:
        raise ValueError("a duration is shorter than that") from None


def _size(value: Any) -> Any:
    if not isinstance(value, str | int):
        return value
    try:
        return parse_size(value)
    except OverflowError:
        raise ValueError("a size is smaller than that") from None


_WRITTEN_DURATION = "Seconds, or such as '20m', '1h30m', '1:00:00'."
Duration = Annotated[
    float,
    BeforeValidator(_duration, json_schema_input_type=int | float | str),
    Field(description=_WRITTEN_DURATION),
]
Wait = Annotated[
    float,
    BeforeValidator(zero_or_duration, json_schema_input_type=int | float | str),
    Field(description=_WRITTEN_DURATION),
]
Size = Annotated[
    int,
    BeforeValidator(_size, json_schema_input_type=int | str),
    Field(gt=0, description="Bytes, or such as '4 GB', '2 GiB'."),
]
