"""From a file to a checked workflow. One pass reports every mistake that it can find."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from metis_flow.errors import ParameterError, WorkflowError, WorkflowInvalid
from metis_flow.workflow import params
from metis_flow.workflow.compiler import BASE_NAMES, Compiler
from metis_flow.workflow.definition import WorkflowDef
from metis_flow.workflow.expressions import has_expression
from metis_flow.workflow.mistakes import mistakes
from metis_flow.workflow.models import ModelSpec, Param, WorkflowFile
from metis_flow.workflow.source import Document, read_document
from metis_flow.workflow.steps import StepReader


def load_workflow(path: str | Path) -> WorkflowDef:
    """Read, check and compile a workflow file.

    Raises:
        WorkflowInvalid: with every mistake found, each with file, line and column.
    """
    path = Path(path)
    try:
        document = read_document(path)
    except WorkflowError as error:
        raise WorkflowInvalid([error]) from None
    problems = list(document.problems)
    model: WorkflowFile | None = None
    if not isinstance(document.data, dict):
        problems.append(document.error("a workflow file holds 'key: value' lines", hint="see 'metis-flow init'"))
    else:
        try:
            model = WorkflowFile.model_validate(document.data)
        except ValidationError as error:
            problems.extend(mistakes(document, error))
        workflow = _compile(document, path, model, problems)
        if workflow is not None and not problems:
            return workflow
    raise WorkflowInvalid(sorted(_unique(problems), key=position_of))


def _compile(
    document: Document, path: Path, model: WorkflowFile | None, problems: list[WorkflowError]
) -> WorkflowDef | None:
    """Compile what can be compiled; where the model did not fit, only to find further mistakes."""
    data = document.data
    raw_steps = data.get("steps") if isinstance(data.get("steps"), dict) else {}
    raw_params = data.get("params") if isinstance(data.get("params"), dict) else {}
    fan_out = {name: isinstance(step, dict) and step.get("foreach") is not None for name, step in raw_steps.items()}
    compiler = Compiler(document, raw_params, fan_out)
    reader = StepReader(compiler, path.absolute().parent, _model_settings(data.get("model")))
    steps = {name: step for name, raw in raw_steps.items() if (step := reader.read(name, raw)) is not None}
    raw_outputs = data.get("outputs") if isinstance(data.get("outputs"), dict) else {}
    outputs = {name: compiler.tree(value, ("outputs", name), BASE_NAMES) for name, value in raw_outputs.items()}
    reader.check_model()
    _check_endpoint(data.get("endpoint"), compiler)
    _check_params(raw_params, path, compiler)
    problems.extend(compiler.problems)
    if model is None or problems:
        return None
    return WorkflowDef(
        path=path,
        name=model.name,
        description=model.description,
        params=model.params,
        endpoint=model.endpoint,
        limits=model.limits,
        steps=steps,
        outputs=outputs,
        document=document,
        included=compiler.included,
    )


def _model_settings(raw: Any) -> dict[str, Any]:
    """The workflow's own model settings, as a plain map; the model's name under 'name'."""
    if isinstance(raw, str):
        return {"name": raw}
    known = ModelSpec.model_fields
    return {name: value for name, value in raw.items() if name in known} if isinstance(raw, dict) else {}


def _check_endpoint(endpoint: Any, compiler: Compiler) -> None:
    if isinstance(endpoint, str) and ("${{" in endpoint or re.search(r"[:/\\\s]", endpoint)):
        hint = "put the address into a file of its own, see 'metis-flow endpoints'"
        compiler.problem("a workflow names an endpoint, never an address", ("endpoint",), hint=hint)


def _check_params(raw: dict[str, Any], path: Path, compiler: Compiler) -> None:
    for name, data in raw.items():
        place = ("params", name)
        try:
            spec = Param.model_validate(data)
        except ValidationError:
            continue  # the model of the whole file has said so
        for field, mistake in params.mistakes_of(spec):
            compiler.problem(mistake, (*place, field))
        if isinstance(spec.default, str) and has_expression(spec.default):
            hint = "write the value; other parameters can be used in the steps"
            compiler.problem("a default holds no expressions", (*place, "default"), hint=hint)
        elif spec.default is not None:
            try:
                params.convert(name, spec, spec.default, path.absolute().parent, typed=True)
            except ParameterError as error:
                compiler.problem(f"the default of {error.summary}", (*place, "default"), hint=error.hint)


def _unique(problems: list[WorkflowError]) -> list[WorkflowError]:
    seen: dict[tuple[str | None, str], WorkflowError] = {}
    for problem in problems:
        seen.setdefault((problem.where, problem.summary), problem)
    return list(seen.values())


def position_of(problem: WorkflowError) -> tuple[int, int]:
    """Line and column of a mistake, to sort by."""
    parts = (problem.where or "").rsplit(":", 2)
    return (int(parts[1]), int(parts[2])) if len(parts) == 3 and parts[1].isdigit() else (0, 0)
