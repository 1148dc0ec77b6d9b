"""The keys of a step: its verb and its modifiers, with what each may hold, means and looks like."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from metis_flow.errors import RETRY_KINDS
from metis_flow.workflow.fields import (
    EXECUTOR_NAME,
    VARIABLE_NAME,
    Condition,
    Count,
    Duration,
    ExpressionText,
    Integer,
    Model,
    Number,
    Size,
    StepName,
    Text,
    VariableName,
    Wait,
)

VERBS = ("chat", "run", "python", "uses", "workflow")
FAN_OUT = ("foreach", "matrix", "repeat")
ONLY_FOR: dict[str, tuple[str, ...]] = {
    "with": ("python", "uses", "workflow"),
    "env": ("run",),
    "args": ("run",),
    "stdin": ("run",),
    "files": ("run",),
    "secrets": ("run",),
    "repair": ("chat", "uses"),
    "model": ("uses",),
    "resources": ("run", "python", "uses"),
    "executor": ("chat", "run", "python", "uses"),
    "timeout": ("chat", "run", "python", "uses"),
    "cache": ("chat", "run", "python", "uses"),
}
"""Modifiers that not every verb takes, and those that do."""
NEEDS_ONE_OF: dict[str, tuple[str, ...]] = {
    "as": ("foreach",),
    "key": FAN_OUT,
    "max_parallel": FAN_OUT,
    "until": ("max_rounds",),
    "max_rounds": ("until",),
}
"""Modifiers that mean nothing without another one."""


class Settings(Model):
    """Settings of a chat completion. What is left out is left to the endpoint."""

    temperature: Number | None = Field(default=None, description="Randomness, 0 to 2.", examples=[0.2])
    top_p: Number | None = Field(default=None, description="Nucleus sampling, 0 to 1.", examples=[0.9])
    max_tokens: Integer | None = Field(default=None, description="Most tokens of the answer.", examples=[1500])
    seed: Integer | None = Field(
        default=None,
        description="Seed of the sampling, where the server honours it. A repeated step adds its number to it.",
        examples=[7],
    )
    stop: str | list[str] | None = Field(default=None, description="Text at which the answer ends.", examples=["END"])
    presence_penalty: Number | None = Field(
        default=None, description="Above 0: words that were there already become less likely. -2 to 2.", examples=[0.5]
    )
    frequency_penalty: Number | None = Field(
        default=None, description="Above 0: the more often a word was there, the less likely. -2 to 2.", examples=[1]
    )
    reasoning_effort: str | None = Field(
        default=None, description="For models that reason: low, medium, high.", examples=["low"]
    )
    extra: dict[str, Any] | None = Field(
        default=None, description="Further fields of the request, sent as they are.", examples=[{"top_k": 20}]
    )


class ModelSpec(Settings):
    """Which model answers, and how."""

    name: str | None = Field(
        default=None,
        description="The model's id; without it the endpoint's own default.",
        examples=["gpt-oss-120b-131072"],
    )


class Message(Model):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"] = Field(description="Who says it.", examples=["user"])
    content: Text = Field(description="What is said.", examples=["Name a metal."])


class Examples(Model):
    """Messages from a file, such as worked examples. Its texts are taken as they are, without expressions."""

    from_: str = Field(
        alias="from",
        description="A file of JSON Lines (or one JSON list), relative to the workflow: `{role, content}`, "
        "`{user, assistant}` or `{messages: […]}` on each line.",
        examples=["examples.jsonl"],
    )


def _kind_of_message(value: Any) -> str:
    if isinstance(value, dict):
        return "file" if "from" in value and "role" not in value else "message"
    return "conversation" if isinstance(value, str) else "message"


Entry = Annotated[
    Annotated[Message, Tag("message")]
    | Annotated[Examples, Tag("file")]
    | Annotated[ExpressionText, Tag("conversation")],
    Discriminator(_kind_of_message),
]


class Chat(Settings):
    """One chat completion. A bare string is the user's message."""

    system: Text | None = Field(
        default=None, description="The system message.", examples=["You extract facts.", {"from": "prompts/role.md"}]
    )
    user: Text | None = Field(
        default=None,
        description="The user's message, after `messages`.",
        examples=["Summarise ${{ item }}", {"from": "prompts/ask.md"}],
    )
    messages: list[Entry] | ExpressionText | None = Field(
        default=None,
        description="A conversation, in order: messages, examples from a file, and earlier steps' `.messages`.",
        examples=[[{"role": "user", "content": "Hello"}, "${{ steps.draft.messages }}", {"from": "examples.jsonl"}]],
    )
    model: str | ModelSpec | None = Field(
        default=None, description="Another model, or other settings, for this step.", examples=["${{ matrix.model }}"]
    )


class Matrix(Model):
    """An instance for each combination of its axes, as in GitHub Actions; every other key is an axis."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"propertyNames": {"pattern": VARIABLE_NAME}})
    __pydantic_extra__: dict[str, list[Any] | ExpressionText]

    include: list[dict[VariableName, Any]] | ExpressionText | None = Field(
        default=None,
        description="Values to add to the combinations that they fit; what fits none is a combination of its own.",
        examples=[[{"model": "small", "temperature": 0}]],
    )
    exclude: list[dict[VariableName, Any]] | ExpressionText | None = Field(
        default=None,
        description="Combinations to leave out; naming some of the axes is enough.",
        examples=[[{"model": "small"}]],
    )


class OnError(Model):
    """What a failed instance means."""

    continue_: bool = Field(
        default=False, alias="continue", description="Failed instances do not fail the step.", examples=[True]
    )
    min_success: float = Field(
        default=0.0, ge=0, le=1, description="Least share of successes of what was tried.", examples=[0.95]
    )


RetryReason = Annotated[str, Field(json_schema_extra={"enum": list(RETRY_KINDS)})] | int


class RetrySpec(Model):
    """How often a failed instance is tried, each time from its beginning. A bare number is `attempts`."""

    attempts: Count = Field(default=3, description="Most tries, the first one counted.", examples=[5])
    wait: Wait = Field(default=0.0, description="Time before the next try.", examples=["30s"])
    on: RetryReason | list[RetryReason] | None = Field(
        default=None,
        description="Only after these failures, or exit codes of a script; else after any.",
        examples=[["timeout", 137]],
    )


class ResourcesSpec(Model):
    """What one instance needs, so that it goes to an executor that has it."""

    cores: Count | None = Field(default=None, description="Processor cores.", examples=[4])
    gpus: Count | None = Field(default=None, description="GPUs, or tiles of them.", examples=[1])
    nodes: Count | None = Field(
        default=None, description="Whole nodes, for a script with $PARSL_MPI_PREFIX.", examples=[2]
    )
    ranks_per_node: Count | None = Field(default=None, description="MPI ranks on each node.", examples=[4])
    memory: Size | None = Field(default=None, description="Memory: bytes, or such as '16 GB'.", examples=["16 GB"])


class Step(Model):
    """One entry under `steps`: one verb and its modifiers."""

    chat: str | Chat | None = Field(default=None, description="Ask a model.", examples=["Name a metal."])
    run: str | None = Field(
        default=None,
        description="A shell script, run in the instance's own folder. It holds no expressions: values come by "
        "`env`, `args`, `stdin` and `files`.",
        examples=["sort data.txt"],
    )
    python: str | None = Field(
        default=None, description="`module:function`, beside the workflow or installed.", examples=["analysis:fit"]
    )
    uses: str | None = Field(
        default=None, description="A task of the task library; see `metis-flow tasks`.", examples=["read_rows"]
    )
    workflow: str | None = Field(
        default=None,
        description="Another workflow file; its parameters come by `with`, its outputs are the output.",
        examples=["refine.yaml"],
    )
    with_: dict[VariableName, Any] | None = Field(
        default=None,
        alias="with",
        description="Keyword arguments of the function, or parameters of the workflow.",
        examples=[{"path": "${{ params.papers }}"}],
    )
    foreach: Any = Field(
        default=None,
        description="A list, object or range, an expression for one, or `{glob: PATTERN}`: an instance each.",
        examples=["${{ steps.load.output }}", {"glob": "data/*.txt"}],
    )
    as_: VariableName | None = Field(
        default=None, alias="as", description="The item's name in expressions; else `item`.", examples=["paper"]
    )
    matrix: Matrix | None = Field(
        default=None,
        description="An instance for each combination of the axes (for each item, where there is `foreach` too).",
        examples=[{"model": ["small", "large"], "temperature": [0, 0.5, 1]}],
    )
    repeat: Annotated[int, Field(ge=0)] | ExpressionText | None = Field(
        default=None, description="So many instances of each, numbered by `repeat` from 0.", examples=[5]
    )
    key: str | None = Field(
        default=None,
        description="An expression for the name of the instance. The axes of the matrix and `repeat` are added to it "
        "where it does not read them.",
        examples=["${{ paper.doi }}"],
    )
    if_: Condition | None = Field(
        default=None, alias="if", description="Run only where this is true.", examples=["hit.output.score > 0.5"]
    )
    until: Condition | None = Field(
        default=None,
        description="Run again until this is true of `output`; expressions see `round` and `previous`.",
        examples=["output.score >= 8"],
    )
    max_rounds: Count | None = Field(
        default=None, description="Most rounds of `until`; running out is a failure.", examples=[4]
    )
    needs: StepName | list[StepName] | None = Field(
        default=None, description="Steps to wait for, besides those that are referred to.", examples=["prepare"]
    )
    output: Any = Field(
        default=None,
        description="What comes out, and how it is checked: a map of fields, `{schema: …}`, or for `run` one of "
        "`{json: FILE}`, `{text: FILE}`, `{path: FILE}`, `{files: GLOB}`.",
        examples=[{"material": "string", "note?": "string"}],
    )
    check: str | None = Field(
        default=None,
        description="A condition on `output`; false counts as a failed validation.",
        examples=["output.low < output.high"],
    )
    repair: int = Field(
        default=0, ge=0, le=10, description="How often to ask again with the validator's message.", examples=[1]
    )
    on_error: Literal["continue", "fail"] | OnError = Field(
        default="fail",
        description="What a failure means: `continue` lets the run go on with the successes.",
        examples=["continue"],
    )
    retry: Count | RetrySpec | None = Field(
        default=None, description="How often a failed instance is tried.", examples=[3]
    )
    timeout: Duration | None = Field(default=None, description="Longest time for one instance.", examples=["20m"])
    cache: bool | None = Field(
        default=None,
        description="Use what an earlier run made of the same inputs. Without it: true, but for `run`.",
        examples=[True],
    )
    executor: Annotated[str, Field(json_schema_extra={"pattern": EXECUTOR_NAME})] | None = Field(
        default=None, description="Where on the site it runs: the name of an executor.", examples=["workers"]
    )
    model: str | ModelSpec | None = Field(
        default=None,
        description="For a task that asks a model: another model, or other settings, than the workflow's. A chat step "
        "has its own inside `chat`.",
        examples=["gpt-oss-120b-131072"],
    )
    resources: ResourcesSpec | None = Field(
        default=None, description="What one instance needs.", examples=[{"cores": 4, "memory": "16 GB"}]
    )
    max_parallel: Count | None = Field(default=None, description="Most instances at once.", examples=[8])
    env: dict[VariableName, Any] | None = Field(
        default=None, description="Environment variables of the script.", examples=[{"NAME": "${{ item.name }}"}]
    )
    secrets: list[VariableName] | None = Field(
        default=None, description="The user's own variables to pass on, masked.", examples=[["MP_API_KEY"]]
    )
    args: list[Any] | None = Field(
        default=None, description="Arguments of the script: $1, $2 and so on.", examples=[["${{ item }}"]]
    )
    stdin: Any = Field(
        default=None, description="Standard input of the script: text, else JSON.", examples=["${{ steps.a.output }}"]
    )
    files: dict[str, Any] | None = Field(
        default=None,
        description="Files to lay in the instance's folder: a text, `{from: PATH}`, a file of another step, or JSON.",
        examples=[{"in.json": "${{ item }}", "tool.py": {"from": "tool.py"}}],
    )
