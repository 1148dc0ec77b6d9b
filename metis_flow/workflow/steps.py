"""Reads one step of a file into its definition, with every expression compiled."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from metis_flow.errors import did_you_mean
from metis_flow.workflow import control
from metis_flow.workflow.bodies import Body
from metis_flow.workflow.chats import ChatReader
from metis_flow.workflow.compiler import BASE_NAMES, ROUND_NAMES, Compiler
from metis_flow.workflow.definition import CallDef, StepDef, Verb, WorkflowDef
from metis_flow.workflow.fan_out import read_fan_out
from metis_flow.workflow.fields import STEP_NAME
from metis_flow.workflow.functions import STATUS_FUNCTIONS
from metis_flow.workflow.reuse import Loading, read_workflow_call
from metis_flow.workflow.schemas import read_output
from metis_flow.workflow.scripts import read_script
from metis_flow.workflow.source import Location
from metis_flow.workflow.step_models import NEEDS_ONE_OF, ONLY_FOR, VERBS


@dataclass(frozen=True)
class Home:
    """The workflow that steps belong to, whichever file they stand in.

    Attributes:
        folder: what relative paths are relative to.
        model: the workflow's own model settings.
        loading: the workflows that are being loaded.
        load: loads another one.
    """

    folder: Path
    model: Mapping[str, Any]
    loading: Loading
    load: Callable[[Path, Loading], WorkflowDef]


class StepReader:
    """Reads the steps of one document.

    Args:
        compiler: where expressions and mistakes go.
        main: the compiler of the workflow's own file; the same one where the steps stand there.
        home: the workflow.
    """

    def __init__(self, compiler: Compiler, main: Compiler, home: Home) -> None:
        self.compiler = compiler
        self.home = home
        self.chats = ChatReader(compiler, main, home.folder, home.model)

    def read(self, name: str, raw: Any) -> StepDef | None:
        """The definition of a step, or None where it cannot be made (the compiler holds the mistakes)."""
        place: Location = ("steps", name)
        if not isinstance(raw, dict):
            return None
        verb = self._verb(raw, place)
        self._check_modifiers(raw, verb, place)
        fan_out = read_fan_out(self.compiler, raw, place, self.home.folder)
        names = BASE_NAMES | fan_out.names
        condition = self.compiler.condition(raw.get("if"), (*place, "if"), names | STATUS_FUNCTIONS)
        inner = names | ROUND_NAMES if raw.get("until") is not None else names
        check = self.compiler.condition(raw.get("check"), (*place, "check"), inner | {"output"})
        until = self.compiler.condition(raw.get("until"), (*place, "until"), inner | {"output"})
        output = read_output(self.compiler, raw.get("output"), verb, (*place, "output"), self.home.folder)
        needs = self._needs(raw.get("needs"), place)
        body = self._body(raw, verb, place, inner)
        retry = control.read_retry(self.compiler, raw.get("retry"), verb, (*place, "retry"))
        resources = control.read_resources(self.compiler, raw.get("resources"), verb, (*place, "resources"))
        executor = control.read_executor(self.compiler, raw.get("executor"), (*place, "executor"))
        if verb is None or body is None:
            return None
        continues, min_success = control.read_on_error(raw.get("on_error"))
        return StepDef(
            name=name,
            verb=verb,
            body=body,
            foreach=fan_out.foreach,
            item=fan_out.item,
            key=fan_out.key,
            condition=condition,
            needs=needs,
            output=output,
            check=check,
            repair=raw["repair"] if isinstance(raw.get("repair"), int) else 0,
            continues=continues,
            min_success=min_success,
            timeout=control.read_duration(raw.get("timeout")),
            retry=retry,
            cache=raw["cache"] if isinstance(raw.get("cache"), bool) else None,
            executor=executor,
            resources=resources,
            max_parallel=raw["max_parallel"] if control.is_count(raw.get("max_parallel")) else None,
            matrix=fan_out.matrix,
            repeat=fan_out.repeat,
            until=until,
            max_rounds=raw["max_rounds"] if control.is_count(raw.get("max_rounds")) else 1,
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
        for modifier, verbs in ONLY_FOR.items():
            if verb is not None and raw.get(modifier) is not None and verb not in verbs:
                summary = f"'{modifier}' is for {_listed(verbs, 'and')} steps, and '{place[-1]}' is a {verb} step"
                hint = "write it on the steps of that workflow" if verb == "workflow" and "run" in verbs else None
                self.compiler.problem(summary, (*place, modifier), key=True, hint=hint)
        for modifier, others in NEEDS_ONE_OF.items():
            if raw.get(modifier) is not None and all(raw.get(other) is None for other in others):
                wanted = _listed([f"'{other}'" for other in others], "or")
                hint = "for instance 'max_rounds: 5'" if modifier == "until" else None
                self.compiler.problem(
                    f"'{modifier}' needs {wanted} on the step", (*place, modifier), key=True, hint=hint
                )

    def _needs(self, raw: Any, place: Location) -> tuple[str, ...]:
        names = [raw] if isinstance(raw, str) else raw if isinstance(raw, list) else []
        for index, name in enumerate(names):
            if isinstance(name, str) and re.match(STEP_NAME, name) and name not in self.compiler.steps:
                spot = (*place, "needs", index) if isinstance(raw, list) else (*place, "needs")
                self.compiler.problem(f"there is no step '{name}'", spot, hint=did_you_mean(name, self.compiler.steps))
        return tuple(name for name in names if isinstance(name, str))

    def _body(self, raw: dict[str, Any], verb: str | None, place: Location, names: frozenset[str]) -> Body | None:
        home = self.home
        if verb == "chat":
            return self.chats.read(raw["chat"], (*place, "chat"), names)
        if verb == "run":
            return read_script(self.compiler, raw, place, home.folder, names)
        if verb == "workflow":
            return read_workflow_call(self.compiler, raw, place, names, home.folder, home.loading, home.load)
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
        if verb == "python":
            return CallDef(target, arguments)
        model, settings = self.chats.asked(raw, place, names)
        return CallDef(target, arguments, model, settings)


def _listed(words: Sequence[str], conjunction: str) -> str:
    """``a``, ``a and b`` or ``a, b and c``."""
    return f" {conjunction} ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
