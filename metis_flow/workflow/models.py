"""The language, version 1, as data models: what keys there are, and what each may hold.

The loader checks files against these models and editors get their JSON Schema from them. Expressions are strings here;
`metis_flow.workflow.load` compiles them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from metis_flow.units import parse_duration

STEP_NAME = r"^[a-z][a-z0-9_]*$"
WORKFLOW_NAME = r"^[a-z][a-z0-9_-]*$"
VARIABLE_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
VERBS = ("chat", "run", "python", "uses")

StepName = Annotated[str, StringConstraints(pattern=STEP_NAME)]
VariableName = Annotated[str, StringConstraints(pattern=VARIABLE_NAME)]
ExpressionText = Annotated[str, StringConstraints(pattern=r"^\s*\$\{\{[\s\S]*\}\}\s*$")]
Number = float | ExpressionText
Integer = int | ExpressionText
Scalar = str | int | float | bool | None


def _duration(value: Any) -> Any:
    if not isinstance(value, str | int | float):
        return value
    try:
        return parse_duration(value)
    except OverflowError:
        raise ValueError("a duration is shorter than that") from None


Duration = Annotated[
    float,
    BeforeValidator(_duration, json_schema_input_type=int | float | str),
    Field(description="Seconds, or such as '20m', '1h30m', '1:00:00'."),
]


class Model(BaseModel):
    """Base of all: unknown keys are errors, and a value is taken as it is written (no '3' for 3)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True, protected_namespaces=())


class Param(Model):
    """One parameter of the workflow, given with `-p NAME=VALUE` or `--params FILE`."""

    type: Literal["string", "number", "integer", "boolean", "path", "array", "object"] = Field(
        description="What it holds. A path counts by the content of what it points at, and is relative to the workflow."
    )
    default: Any = Field(
        default=None, description="The value where none is given; without it the parameter is required."
    )
    minimum: float | None = Field(default=None, description="Least value of a number or integer.")
    maximum: float | None = Field(default=None, description="Greatest value of a number or integer.")
    enum: list[Scalar] | None = Field(default=None, min_length=1, description="The values that are allowed.")
    description: str | None = Field(default=None, description="One line for people.")


class Settings(Model):
    """Settings of a chat completion. What is left out is left to the endpoint."""

    temperature: Number | None = Field(default=None, description="Randomness, 0 to 2.")
    top_p: Number | None = Field(default=None, description="Nucleus sampling, 0 to 1.")
    max_tokens: Integer | None = Field(default=None, description="Most tokens of the answer.")
    seed: Integer | None = Field(default=None, description="Seed of the sampling, where the server honours it.")
    stop: str | list[str] | None = Field(default=None, description="Text at which the answer ends.")
    presence_penalty: Number | None = Field(default=None, description="-2 to 2.")
    frequency_penalty: Number | None = Field(default=None, description="-2 to 2.")
    reasoning_effort: str | None = Field(default=None, description="For models that reason: low, medium, high.")
    extra: dict[str, Any] | None = Field(default=None, description="Further fields of the request, sent as they are.")


class ModelSpec(Settings):
    """Which model answers, and how."""

    name: str | None = Field(default=None, description="The model's id; without it the endpoint's own default.")


class FromFile(Model):
    """A text that comes from a file beside the workflow."""

    from_: str = Field(alias="from", description="Path of the file, relative to the workflow.")


Text = str | FromFile


class Message(Model):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"] = Field(description="Who says it.")
    content: Text = Field(description="What is said.")


class Chat(Settings):
    """One chat completion. A bare string is the user's message."""

    system: Text | None = Field(default=None, description="The system message.")
    user: Text | None = Field(default=None, description="The user's message, after `messages`.")
    messages: list[Message] | None = Field(default=None, description="A conversation, in order.")
    model: str | ModelSpec | None = Field(default=None, description="Another model, or other settings, for this step.")


class OnError(Model):
    """What a failed instance means."""

    continue_: bool = Field(default=False, alias="continue", description="Failed instances do not fail the step.")
    min_success: float = Field(default=0.0, ge=0, le=1, description="Least share of successes of what was tried.")


class Limits(Model):
    """Limits of one run."""

    calls: int | None = Field(default=None, gt=0, description="Most chat completions.")
    tokens: int | None = Field(default=None, gt=0, description="Most tokens, prompts and answers together.")
    concurrency: int | None = Field(default=None, gt=0, description="Most calls in flight.")


class Step(Model):
    """One entry under `steps`: one verb and its modifiers."""

    chat: str | Chat | None = Field(default=None, description="Ask a model.")
    run: str | None = Field(default=None, description="A shell script, run in the instance's own folder.")
    python: str | None = Field(default=None, description="`module:function`, beside the workflow or installed.")
    uses: str | None = Field(default=None, description="A task of the task library.")
    with_: dict[VariableName, Any] | None = Field(default=None, alias="with", description="Keyword arguments.")
    foreach: Any = Field(
        default=None, description="A list, object or range, or an expression for one: an instance each."
    )
    as_: VariableName | None = Field(
        default=None, alias="as", description="The item's name in expressions; else `item`."
    )
    key: str | None = Field(default=None, description="An expression for the name of the instance.")
    if_: str | bool | None = Field(default=None, alias="if", description="Run only where this is true.")
    needs: StepName | list[StepName] | None = Field(default=None, description="Steps to wait for.")
    output: Any = Field(default=None, description="What comes out, and how it is checked.")
    check: str | None = Field(default=None, description="A condition on `output`; false counts as a failed validation.")
    repair: int = Field(default=0, ge=0, le=10, description="How often to ask again with the validator's message.")
    on_error: Literal["continue", "fail"] | OnError = Field(default="fail", description="What a failure means.")
    timeout: Duration | None = Field(default=None, description="Longest time for one instance.")
    env: dict[VariableName, Any] | None = Field(default=None, description="Environment variables of the script.")
    secrets: list[VariableName] | None = Field(default=None, description="The user's own variables to pass on, masked.")
    args: list[Any] | None = Field(default=None, description="Arguments of the script: $1, $2, …")
    stdin: Any = Field(default=None, description="Standard input of the script: text, else JSON.")
    files: dict[str, Any] | None = Field(default=None, description="Files to lay in the instance's folder.")

    @property
    def verbs(self) -> list[str]:
        """The verbs that the step has; a right one has one."""
        return [verb for verb in VERBS if getattr(self, verb) is not None]


class WorkflowFile(Model):
    """A whole workflow file."""

    version: Literal[1] = Field(description="Version of the language.")
    name: Annotated[str, StringConstraints(pattern=WORKFLOW_NAME)] = Field(description="Name of the workflow.")
    description: str | None = Field(default=None, description="What it is for.")
    params: dict[VariableName, Param] = Field(default_factory=dict, description="Its parameters.")
    endpoint: str | None = Field(default=None, description="Who answers: the name of an endpoint, never an address.")
    model: str | ModelSpec | None = Field(default=None, description="The model for all chat steps.")
    limits: Limits = Field(default_factory=Limits, description="Where to stop.")
    steps: dict[StepName, Step] = Field(min_length=1, description="The steps, by name.")
    outputs: dict[VariableName, Any] = Field(default_factory=dict, description="What the run hands back.")
