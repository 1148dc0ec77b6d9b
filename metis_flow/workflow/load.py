"""From a file to a checked workflow. One pass reports every mistake that it can find."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from metis_flow.errors import ParameterError, WorkflowError, WorkflowInvalid
from metis_flow.workflow import params
from metis_flow.workflow.chats import ChatReader
from metis_flow.workflow.compiler import BASE_NAMES, Compiler, Shape
from metis_flow.workflow.definition import Notify, StepDef, WorkflowDef
from metis_flow.workflow.expressions import has_expression
from metis_flow.workflow.fan_out import is_fan_out
from metis_flow.workflow.mistakes import mistakes
from metis_flow.workflow.models import NotifySpec, Param, WorkflowFile
from metis_flow.workflow.reuse import Loading, read_parts
from metis_flow.workflow.source import MAX_NODES, Document, Location, read_document
from metis_flow.workflow.step_models import VERBS, ModelSpec
from metis_flow.workflow.steps import Home, StepReader


def load_workflow(path: str | Path) -> WorkflowDef:
    """Read, check and compile a workflow file, with all that it includes and calls.

    Raises:
        WorkflowInvalid: with every mistake found, each with file, line and column.
    """
    return _load(Path(path), Loading())


def _load(path: Path, loading: Loading) -> WorkflowDef:
    try:
        document = read_document(path, max_nodes=MAX_NODES)
    except WorkflowError as error:
        raise WorkflowInvalid([error]) from None
    problems = list(document.problems)
    if not isinstance(document.data, dict):
        problems.append(document.error("a workflow file holds 'key: value' lines", hint="see 'metis-flow init'"))
        raise WorkflowInvalid(problems)
    model: WorkflowFile | None = None
    try:
        model = WorkflowFile.model_validate(document.data)
    except ValidationError as error:
        problems.extend(mistakes(document, error))
    if "steps" not in document.data and document.data.get("include") is None:
        problems.append(document.error("'steps' is missing", key=True, hint="add 'steps: …'"))
    loading.stack.append(path.resolve())
    try:
        workflow = _compile(document, path, model, problems, loading)
    finally:
        loading.stack.pop()
    if workflow is None:
        raise WorkflowInvalid(_in_order(_unique(problems), path))
    return workflow


def _compile(
    document: Document, path: Path, model: WorkflowFile | None, problems: list[WorkflowError], loading: Loading
) -> WorkflowDef | None:
    """Compile what can be compiled; where the model did not fit, only to find further mistakes."""
    data = document.data
    raw_params = data.get("params") if isinstance(data.get("params"), dict) else {}
    shapes: dict[str, Shape] = {}
    main = Compiler(document, raw_params, shapes, path.parent)
    folder = path.absolute().parent
    documents = [*read_parts(main, data.get("include"), folder), document]
    owners = _owners(documents, main)
    shapes.update({name: _shape(owner.data["steps"][name]) for name, owner in owners.items()})
    home = Home(folder, _model_settings(data.get("model")), loading, _load)
    steps: dict[str, StepDef] = {}
    for part in documents:
        compiler = main if part is document else Compiler(part, raw_params, shapes, path.parent)
        reader = StepReader(compiler, main, home)
        for name in (name for name, owner in owners.items() if owner is part):
            step = reader.read(name, part.data["steps"][name])
            steps |= {} if step is None else {name: step}
        if compiler is not main:
            main.problems.extend(compiler.problems)
            main.included.update(compiler.included)
    raw_outputs = data.get("outputs") if isinstance(data.get("outputs"), dict) else {}
    outputs = {name: main.tree(value, ("outputs", name), BASE_NAMES) for name, value in raw_outputs.items()}
    _check_model(main, home)
    _check_endpoint(data.get("endpoint"), main)
    _check_params(raw_params, path, main)
    _check_notify(data.get("notify"), main)
    problems.extend(main.problems)
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
        included=main.included,
        parts={name: owner for name, owner in owners.items() if owner is not document},
        notify=_notify(model.notify),
    )


def _owners(documents: list[Document], main: Compiler) -> dict[str, Document]:
    """The file of each step, in their order; a name that is taken already is a mistake."""
    owners: dict[str, Document] = {}
    for document in documents:
        raw = document.data.get("steps")
        for name in raw if isinstance(raw, dict) else ():
            if name in owners:
                first = owners[name].error("", ("steps", name), key=True).where
                error = document.error(
                    f"there is a step '{name}' already", ("steps", name), key=True, hint=f"the first is at {first}"
                )
                main.problems.append(error)
            else:
                owners[name] = document
    return owners


def _shape(raw: Any) -> Shape:
    verbs = [verb for verb in VERBS if isinstance(raw, dict) and raw.get(verb) is not None]
    return Shape(is_fan_out(raw), verbs[0] if len(verbs) == 1 else None)


def _check_model(main: Compiler, home: Home) -> None:
    """The workflow's own model settings are checked whether a step chats or not."""
    ChatReader(main, main, home.folder, home.model).check_model(BASE_NAMES)


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


def _notify(spec: str | NotifySpec | None) -> Notify | None:
    if spec is None:
        return None
    return Notify(spec) if isinstance(spec, str) else Notify(spec.run, frozenset(spec.on))


def _check_notify(raw: Any, compiler: Compiler) -> None:
    place: Location = ("notify", "run") if isinstance(raw, dict) else ("notify",)
    command = raw.get("run") if isinstance(raw, dict) else raw
    if not isinstance(command, str):
        return
    summary = "the command of 'notify' holds no expressions: what a model said must not become shell code"
    hint = 'it finds what it may say in its environment: "$METIS_FLOW_RUN", "$METIS_FLOW_STATUS", "$METIS_FLOW_REASON"'
    compiler.refuse_expressions(command, place, summary, hint)
    if not command.strip():
        compiler.problem(
            "the command of 'notify' is empty", place, hint="leave 'notify' out where nobody is to be told"
        )


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


def _in_order(problems: list[WorkflowError], path: Path) -> list[WorkflowError]:
    """By file, the workflow's own first, and in each by line."""
    own = str(path)
    files = {problem.where: (problem.where or "").rsplit(":", 2)[0] for problem in problems}
    return sorted(
        problems, key=lambda problem: (files[problem.where] != own, files[problem.where], position_of(problem))
    )


def position_of(problem: WorkflowError) -> tuple[int, int]:
    """Line and column of a mistake, to sort by."""
    parts = (problem.where or "").rsplit(":", 2)
    return (int(parts[1]), int(parts[2])) if len(parts) == 3 and parts[1].isdigit() else (0, 0)
