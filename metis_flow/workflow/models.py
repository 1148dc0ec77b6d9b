"""The language, version 1, as data models: what keys there are, and what each may hold.

The loader checks files against these models; editors get their JSON Schema, and the documentation its tables, from
them. Expressions are strings here; `metis_flow.workflow.load` compiles them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, StringConstraints

from metis_flow.workflow.fields import WORKFLOW_NAME, Count, Model, Scalar, StepName, VariableName
from metis_flow.workflow.step_models import ModelSpec, Step


class Param(Model):
    """One parameter of the workflow, given with `-p NAME=VALUE` or `--params FILE`."""

    type: Literal["string", "number", "integer", "boolean", "path", "array", "object"] = Field(
        description="What it holds. A path is relative to the workflow, and counts by the content of what is there.",
        examples=["number"],
    )
    default: Any = Field(
        default=None, description="The value where none is given; without it the parameter is required.", examples=[0.2]
    )
    minimum: float | None = Field(default=None, description="Least value of a number or integer.", examples=[0])
    maximum: float | None = Field(default=None, description="Greatest value of a number or integer.", examples=[2])
    enum: list[Scalar] | None = Field(
        default=None, min_length=1, description="The values that are allowed.", examples=[["pbe", "hse"]]
    )
    description: str | None = Field(default=None, description="One line for people.", examples=["Sampling."])


class Limits(Model):
    """Limits of one run."""

    calls: Count | None = Field(default=None, description="Most chat completions.", examples=[5000])
    tokens: Count | None = Field(
        default=None, description="Most tokens, prompts and answers together.", examples=[3_000_000]
    )
    concurrency: Count | None = Field(default=None, description="Most calls in flight.", examples=[64])


RunEnd = Literal["done", "failed", "stopped", "paused"]
RUN_ENDS: tuple[RunEnd, ...] = get_args(RunEnd)


class NotifySpec(Model):
    """A command that tells somebody how the run ended. If it fails, that is said, and the run stays as it is."""

    run: str = Field(
        description="A shell command, run in the workflow's folder and ended after 30 s. It holds no expressions: in "
        "its environment are `METIS_FLOW_RUN`, `METIS_FLOW_STATUS`, `METIS_FLOW_REASON`, `METIS_FLOW_RECORD` (the "
        "run's folder) and `METIS_FLOW_WORKFLOW` (the name).",
        examples=['mail -s "$METIS_FLOW_RUN: $METIS_FLOW_STATUS" me < /dev/null'],
    )
    on: list[RunEnd] = Field(
        default=list(RUN_ENDS), min_length=1, description="After which ends it is run.", examples=[["failed", "paused"]]
    )


class StepsFile(Model):
    """A file that `include` names: steps, as they would stand in the workflow."""

    steps: dict[StepName, Step] = Field(
        min_length=1, description="The steps, by name.", examples=[{"greet": {"chat": "Say hello."}}]
    )


class WorkflowFile(Model):
    """A whole workflow file."""

    version: Literal[1] = Field(description="Version of the language.", examples=[1])
    name: Annotated[str, StringConstraints(pattern=WORKFLOW_NAME)] = Field(
        description="Name of the workflow.", examples=["band_gap_survey"]
    )
    description: str | None = Field(default=None, description="What it is for.", examples=["Gaps from abstracts."])
    params: dict[VariableName, Param] = Field(
        default_factory=dict,
        description="Its parameters.",
        examples=[{"papers": {"type": "path", "default": "papers.jsonl"}}],
    )
    endpoint: str | None = Field(
        default=None, description="Who answers: the name of an endpoint, never an address.", examples=["metis"]
    )
    model: str | ModelSpec | None = Field(
        default=None,
        description="The model for all chat steps.",
        examples=[{"name": "gpt-oss-120b-131072", "temperature": 0}],
    )
    limits: Limits = Field(default_factory=Limits, description="Where to stop.", examples=[{"calls": 5000}])
    notify: str | NotifySpec | None = Field(
        default=None,
        description="A shell command of yours, for when the run ends or pauses. In a workflow that a step calls it is "
        "not run.",
        examples=['echo "$METIS_FLOW_RUN: $METIS_FLOW_STATUS" >> ~/runs.txt'],
    )
    include: str | list[str] | None = Field(
        default=None,
        description="Files with further steps, relative to the workflow. They come before its own.",
        examples=[["parts/load.yaml"]],
    )
    steps: dict[StepName, Step] = Field(
        default_factory=dict, min_length=1, description="The steps, by name.", examples=[{"greet": {"chat": "Hello."}}]
    )
    outputs: dict[VariableName, Any] = Field(
        default_factory=dict,
        description="What the run hands back.",
        examples=[{"table": "${{ steps.report.output }}"}],
    )
