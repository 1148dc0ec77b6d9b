"""From a step and an item to the payload of an app, and the content key of what it will give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metis_flow.engine.asking import AskingTask, Consult
from metis_flow.engine.chat import ChatTask
from metis_flow.engine.entries import Journal
from metis_flow.engine.outcome import CallTask, ShellTask
from metis_flow.engine.scope import plain, plain_arguments
from metis_flow.engine.sharing import parts_in_common, repetition, settings_of, why_call_own_only, why_own_only
from metis_flow.engine.subrun import SubTask
from metis_flow.engine.wording import argument_text, file_text, message_text
from metis_flow.errors import ConfigError, ExpressionFailed, TaskFailed
from metis_flow.inference.answers import ChatRequest
from metis_flow.inference.client import Inference
from metis_flow.inference.json_answers import schema_error
from metis_flow.plan.content import ContentKey, Contents, has_path
from metis_flow.plan.items import Item
from metis_flow.plan.plan import Plan, StepPlan, make_plan
from metis_flow.record.folder import RunFolder
from metis_flow.tasks import find_task
from metis_flow.workflow.definition import CallDef, ChatDef, FileDef, ShellDef, StepDef, WorkflowCallDef
from metis_flow.workflow.functions import address_of
from metis_flow.workflow.trees import Value
from metis_flow.workflow.values import FileRef, PathParam


@dataclass(frozen=True)
class Prepared:
    """An instance ready to be submitted.

    Attributes:
        content: what its result depends on.
        payload: makes the app's payload from what the journal's entries say of the instance, and who knows answers
            that are there already.
        own_only: why no other run may use its result; None where one may.
    """

    content: ContentKey
    payload: Callable[[dict[str, Any], Consult], Any]
    own_only: str | None = None


class Preparer:
    """Makes payloads for the instances of one run.

    Args:
        default_model: the model of chat steps that name none.
        forced_model: the one model that answers, whatever the steps name.
    """

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        journal: Journal,
        inference: Inference | None,
        *,
        default_model: str | None,
        forced_model: str | None = None,
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._journal = journal
        self._inference = inference
        self._default_model = default_model
        self._forced_model = forced_model
        self._contents = Contents()
        self._in_common: dict[str, Mapping[str, str]] = {}

    def prepare(self, step: StepPlan, item: Item, label: str, scope: Mapping[str, Any], *, many: bool) -> Prepared:
        """The payload and content key of an instance.

        Args:
            many: whether the step has so many instances that their folders are spread out.

        Raises:
            StepFailed: an expression fails, or a value is not what its place takes.
        """
        body = step.step.body
        if isinstance(body, ChatDef):
            return self._chat(step.step, body, label, scope)
        if isinstance(body, ShellDef):
            return self._shell(step.step, body, item, label, scope, many)
        if isinstance(body, WorkflowCallDef):
            return self._workflow(step.step, body, item, label, scope, many)
        if step.step.asks:
            return self._asking(step, body, label, scope)
        return self._call(step, body, item, label, scope, many)

    def _key(self, step: StepDef, parts: Mapping[str, Any]) -> ContentKey:
        """The content key of an instance; what all those of its step have in common is hashed with the first."""
        known = self._in_common.get(step.name)
        if known is None:
            names = parts.keys() & parts_in_common(step)
            known = self._in_common[step.name] = self._contents.hashes({name: parts[name] for name in names})
        return self._contents.key(parts, known)

    def _chat(self, step: StepDef, body: ChatDef, label: str, scope: Mapping[str, Any]) -> Prepared:
        messages = [
            {"role": role, "content": message_text(content, role)} for role, content in body.conversation(scope)
        ]
        settings = self._seeded(step, body.settings, scope)
        model = self._model(body, label, scope)
        check = self._check(step, scope)
        parts = {
            "prompt": messages,
            "model": model,
            "settings": settings,
            "schema": step.output.schema,
            "check": self._check_part(step, scope),
            **repetition(step, scope),
        }

        def payload(entry: dict[str, Any], consult: Consult) -> ChatTask:
            assert self._inference is not None
            return ChatTask(
                label=label,
                request=ChatRequest(model, messages, settings),
                schema=step.output.schema,
                repair=step.repair,
                check=check,
                entry=entry,
                timeout=step.timeout,
                inference=self._inference,
                journal=self._journal,
                is_end=lambda output: self.is_last_round(step, scope, output),
                keeps_messages=step.name in self._plan.conversations,
            )

        return Prepared(self._key(step, parts), payload, why_own_only(step, settings))

    def _seeded(self, step: StepDef, values: Mapping[str, Value], scope: Mapping[str, Any]) -> dict[str, Any]:
        """The model's settings for one instance, with a seed of its own in each repeat and round."""
        settings = settings_of(values, scope)
        if isinstance(settings.get("seed"), int):
            settings["seed"] += sum(repetition(step, scope).values())
        return settings

    def _model(self, body: ChatDef | CallDef, label: str, scope: Mapping[str, Any]) -> str:
        if self._forced_model is not None:
            return self._forced_model
        model = (body.model.evaluate(scope) if body.model is not None else None) or self._default_model
        if not isinstance(model, str) or not model:
            raise ConfigError(
                "no model is named", where=label, hint="add 'model: NAME' to the workflow, see 'metis-flow models'"
            )
        return model

    def _check(self, step: StepDef, scope: Mapping[str, Any]) -> Callable[[Any], str | None] | None:
        condition = step.check
        if condition is None:
            return None
        shown = condition.source.strip().removeprefix("${{").removesuffix("}}").strip()

        def check(output: Any) -> str | None:
            try:
                held = condition.evaluate({**scope, "output": output})
            except ExpressionFailed as error:  # as false: an answer that was paid for is kept, and may be repaired
                return f"the check {shown} cannot be asked: {error.summary}"
            return None if held else f"the check does not hold: {shown}"

        return check

    def _check_part(self, step: StepDef, scope: Mapping[str, Any]) -> dict[str, Any] | None:
        """For the content key: the check, and every value that it reads besides the output."""
        if step.check is None:
            return None
        params = {path[7:].split(".")[0] for path in step.check.paths if path.startswith("params.")}
        names = step.check.names & (scope.keys() - {"params", "steps", "run"})
        return {
            "source": step.check.source,
            "params": {name: self._plan.params[name] for name in sorted(params)},
            "names": {name: scope[name] for name in sorted(names)},
            "steps": sorted([ref.step, ref.field, scope["steps"][ref.step][ref.field]] for ref in step.check.refs),
        }

    def _named_files(self, step: StepDef, scope: Mapping[str, Any]) -> dict[str, Any]:
        """For the content key: paths that may stand inside a longer text, where only their name would count."""
        named = {path[7:] for path in step.paths if path.startswith("params.")}
        found = {name: value for name in sorted(named) if isinstance(value := self._plan.params.get(name), PathParam)}
        own = {name: scope.get(name) for name in (step.item, "matrix") if step.is_fan_out}
        return found | {f"{name} of the item": value for name, value in own.items() if has_path(value)}

    def check_output(self, step: StepDef, scope: Mapping[str, Any], output: Any) -> str | None:
        """What is wrong with an output by the step's own ``check``; None where it holds or there is none."""
        check = self._check(step, scope)
        return None if check is None else check(output)

    def is_last_round(self, step: StepDef, scope: Mapping[str, Any], output: Any) -> bool:
        """Whether an output is the end of its instance: ``until`` holds of it, or there is none.

        One that cannot be asked does not hold: an output that was paid for is no reason to fail.
        """
        if step.until is None:
            return True
        try:
            return bool(step.until.evaluate({**scope, "output": output}))
        except ExpressionFailed:
            return False

    def _shell(
        self, step: StepDef, body: ShellDef, item: Item, label: str, scope: Mapping[str, Any], many: bool
    ) -> Prepared:
        env_values = {name: value.evaluate(scope) for name, value in body.env.items()}
        arg_values = [value.evaluate(scope) for value in body.args]
        env = {name: argument_text(value, f"env.{name}") for name, value in env_values.items()}
        args = tuple(argument_text(value, f"args[{index}]") for index, value in enumerate(arg_values))
        stdin = None if body.stdin is None else body.stdin.evaluate(scope)
        links, contents, file_values = self._files(body.files, scope)
        parts = {
            "script": body.script,
            # as values, so that path parameters and files of other steps count by what they hold
            "env": env_values,
            "args": arg_values,
            "stdin": stdin,
            "files": file_values,
            "output": [step.output.source, step.output.file, step.output.schema],
            "named": self._named_files(step, scope),
            "check": self._check_part(step, scope),
            **repetition(step, scope),
        }
        name = "instance" if item.key is None else address_of(item.key)
        task = ShellTask(
            label=label,
            run_folder=str(self._folder.path),
            folder=str(self._folder.instance_folder(step.name, name, many=many)),
            script=body.script,
            env=env,
            args=args,
            stdin=None if body.stdin is None else file_text(stdin),
            links=links,
            contents=contents,
            secrets=body.secrets,
            output=step.output,
            timeout=step.timeout,
        )
        return Prepared(self._key(step, parts), lambda entry, consult: task, why_own_only(step))

    def _files(
        self, files: tuple[FileDef, ...], scope: Mapping[str, Any]
    ) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...], dict[str, Any]]:
        """Links, contents, and for the content key what each file holds."""
        links: list[tuple[str, str]] = []
        contents: list[tuple[str, str]] = []
        values: dict[str, Any] = {}
        for file in files:
            if file.link is not None:
                source = self._plan.workflow.folder / str(file.link.evaluate(scope))
                links.append((file.name, str(source)))
                values[file.name] = {"link": self._contents.file_hash(source)}
                continue
            value = file.content.evaluate(scope) if file.content is not None else ""
            if isinstance(value, FileRef):
                links.append((file.name, value.path))
                values[file.name] = {"link": value.sha256}
            else:
                contents.append((file.name, file_text(value)))
                values[file.name] = {"content": value}
        return tuple(links), tuple(contents), values

    def _asking(self, step: StepPlan, body: CallDef, label: str, scope: Mapping[str, Any]) -> Prepared:
        task = find_task(body.target, self._plan.workflow.folder)
        arguments = plain(body.arguments.evaluate(scope))
        problem = schema_error(arguments, task.parameters)
        if problem is not None:
            raise TaskFailed(
                f"'with' does not fit the task: {problem}", where=label, hint=f"metis-flow tasks show {task.name}"
            )
        settings = self._seeded(step.step, body.settings, scope)
        model = self._model(body, label, scope)
        parts = {
            "function": body.target,
            "source": step.source_hash,
            "with": arguments,
            "model": model,
            "settings": settings,
            "named": self._named_files(step.step, scope),
            "schema": step.step.output.schema,
            "check": self._check_part(step.step, scope),
            **repetition(step.step, scope),
        }

        def payload(entry: dict[str, Any], consult: Consult) -> AskingTask:
            assert self._inference is not None
            return AskingTask(
                label=label,
                task=task,
                arguments=arguments,
                model=model,
                settings=settings,
                schema=step.step.output.schema,
                repair=step.step.repair,
                entry=entry,
                timeout=step.step.timeout,
                consult=consult,
                inference=self._inference,
                journal=self._journal,
            )

        return Prepared(self._key(step.step, parts), payload, why_own_only(step.step, settings))

    def _workflow(
        self, step: StepDef, body: WorkflowCallDef, item: Item, label: str, scope: Mapping[str, Any], many: bool
    ) -> Prepared:
        values = body.bind(scope)
        plan = make_plan(body.child, values)
        parts = {
            "workflow": [body.child.document.text, body.child.included],
            "source": {name: inner.source_hash for name, inner in plan.steps.items()},
            "with": values,
            "model": [self._default_model, self._forced_model],
            "schema": step.output.schema,
            "check": self._check_part(step, scope),
            **repetition(step, scope),
        }
        name = "instance" if item.key is None else address_of(item.key)
        folder = self._folder.instance_folder(step.name, name, many=many)

        def payload(entry: dict[str, Any], consult: Consult) -> SubTask:
            place = folder / f"round-{scope['round']}" if step.until is not None else folder
            return SubTask(label, plan, place, str(place.relative_to(self._folder.path)), step.output.schema)

        return Prepared(self._key(step, parts), payload, why_call_own_only(plan))

    def _call(
        self, step: StepPlan, body: CallDef, item: Item, label: str, scope: Mapping[str, Any], many: bool
    ) -> Prepared:
        arguments = body.arguments.evaluate(scope)
        parts = {
            "function": body.target,
            "source": step.source_hash,
            "with": arguments,
            "named": self._named_files(step.step, scope),
            "schema": step.step.output.schema,
            "check": self._check_part(step.step, scope),
            **repetition(step.step, scope),
        }
        name = "instance" if item.key is None else address_of(item.key)
        task = CallTask(
            label=label,
            verb=step.step.verb,
            target=body.target,
            workflow_folder=str(self._plan.workflow.folder),
            run_folder=str(self._folder.path),
            folder=str(self._folder.instance_folder(step.step.name, name, many=many)),
            arguments=plain_arguments(arguments),
            outputs_dir=str(self._folder.outputs),
            schema=step.step.output.schema,
            timeout=step.step.timeout,
        )
        return Prepared(self._key(step.step, parts), lambda entry, consult: task, why_own_only(step.step))
