"""From a step and an item to the payload of an app, and the content key of what it will give."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metis_flow.engine.chat import ChatTask
from metis_flow.engine.outcome import CallTask, ShellTask
from metis_flow.engine.scope import plain
from metis_flow.errors import ConfigError, ExpressionFailed, StepFailed
from metis_flow.inference.answers import ChatRequest
from metis_flow.inference.client import Inference
from metis_flow.plan.content import ContentKey, Contents
from metis_flow.plan.items import Item
from metis_flow.plan.plan import Plan, StepPlan
from metis_flow.record.folder import RunFolder
from metis_flow.record.journal import JournalWriter
from metis_flow.workflow.definition import CallDef, ChatDef, FileDef, ShellDef, StepDef
from metis_flow.workflow.functions import address_of
from metis_flow.workflow.values import FileRef, PathParam

MAX_ARGUMENT_BYTES = 128 * 1024


@dataclass(frozen=True)
class Prepared:
    """An instance ready to be submitted.

    Attributes:
        executor: ``chat`` or ``work``.
        payload: makes the app's payload from what the journal's entry will say of the instance.
    """

    executor: str
    content: ContentKey
    payload: Callable[[dict[str, Any]], Any]


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
        journal: JournalWriter,
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
        return self._call(step, body, label, scope)

    def _chat(self, step: StepDef, body: ChatDef, label: str, scope: Mapping[str, Any]) -> Prepared:
        messages = [{"role": role, "content": _text(content.evaluate(scope), role)} for role, content in body.messages]
        settings = {name: value.evaluate(scope) for name, value in body.settings.items()}
        settings.update(settings.pop("extra", None) or {})
        settings = {name: value for name, value in settings.items() if value is not None}
        model = self._model(body, label, scope)
        check = self._check(step, scope)
        parts = {
            "prompt": messages,
            "model": model,
            "settings": settings,
            "schema": step.output.schema,
            "check": self._check_part(step, scope),
        }
        inference = self._inference
        assert inference is not None

        def payload(entry: dict[str, Any]) -> ChatTask:
            return ChatTask(
                label=label,
                request=ChatRequest(model, messages, settings),
                schema=step.output.schema,
                repair=step.repair,
                check=check,
                entry=entry,
                timeout=step.timeout,
                inference=inference,
                journal=self._journal,
            )

        return Prepared("chat", self._contents.key(parts), payload)

    def _model(self, body: ChatDef, label: str, scope: Mapping[str, Any]) -> str:
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

    def _named_files(self, step: StepDef) -> dict[str, Any]:
        """For the content key: path parameters that stand inside a longer text, where only their name would count."""
        named = {path[7:] for path in step.paths if path.startswith("params.")}
        return {name: value for name in sorted(named) if isinstance(value := self._plan.params.get(name), PathParam)}

    def check_output(self, step: StepDef, scope: Mapping[str, Any], output: Any) -> str | None:
        """What is wrong with an output by the step's own ``check``; None where it holds or there is none."""
        check = self._check(step, scope)
        return None if check is None else check(output)

    def _shell(
        self, step: StepDef, body: ShellDef, item: Item, label: str, scope: Mapping[str, Any], many: bool
    ) -> Prepared:
        env_values = {name: value.evaluate(scope) for name, value in body.env.items()}
        arg_values = [value.evaluate(scope) for value in body.args]
        env = {name: _word(value, f"env.{name}") for name, value in env_values.items()}
        args = tuple(_word(value, f"args[{index}]") for index, value in enumerate(arg_values))
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
            "named": self._named_files(step),
            "check": self._check_part(step, scope),
        }
        name = "instance" if item.key is None else address_of(item.key)
        task = ShellTask(
            label=label,
            run_folder=str(self._folder.path),
            folder=str(self._folder.instance_folder(step.name, name, many=many)),
            script=body.script,
            env=env,
            args=args,
            stdin=None if body.stdin is None else _content(stdin),
            links=links,
            contents=contents,
            secrets=body.secrets,
            output=step.output,
            timeout=step.timeout,
        )
        return Prepared("work", self._contents.key(parts), lambda entry: task)

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
                contents.append((file.name, _content(value)))
                values[file.name] = {"content": value}
        return tuple(links), tuple(contents), values

    def _call(self, step: StepPlan, body: CallDef, label: str, scope: Mapping[str, Any]) -> Prepared:
        arguments = body.arguments.evaluate(scope)
        parts = {
            "function": body.target,
            "source": step.source_hash,
            "with": arguments,
            "named": self._named_files(step.step),
            "schema": step.step.output.schema,
            "check": self._check_part(step.step, scope),
        }
        task = CallTask(
            label=label,
            verb=step.step.verb,
            target=body.target,
            workflow_folder=str(self._plan.workflow.folder),
            arguments=plain(arguments),
            outputs_dir=str(self._folder.outputs),
            schema=step.step.output.schema,
            timeout=step.step.timeout,
        )
        return Prepared("work", self._contents.key(parts), lambda entry: task)


def _text(value: Any, role: str) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise ExpressionFailed(
        f"the {role} message is a list, an object or null", hint="say how: json(x), lines(x) or join(x, ', ')"
    )


def _content(value: Any) -> str:
    """What a file or standard input gets: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return str(value)
    return json.dumps(plain(value), ensure_ascii=False, indent=1) + "\n"


def _word(value: Any, place: str) -> str:
    """A value for an environment variable or an argument."""
    if value is None:
        text = ""
    elif isinstance(value, str | FileRef):
        text = str(value)
    elif isinstance(value, bool | int | float):
        text = json.dumps(value)
    else:
        hint = "say how: json(x), lines(x) or join(x, ', '); or pass it by 'stdin' or 'files'"
        raise ExpressionFailed(f"'{place}' is a list or an object", hint=hint)
    if "\x00" in text:
        raise StepFailed(f"'{place}' holds a NUL character", hint="pass it by 'stdin' or 'files'")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        problem = f"'{place}' holds half a character (a lone surrogate)"
        raise StepFailed(problem, hint="pass it by 'stdin' or 'files'") from None
    if size > MAX_ARGUMENT_BYTES:
        raise StepFailed(f"'{place}' is longer than 128 KiB", hint="pass it by 'stdin' or 'files'")
    return text
