"""Compiles the expressions of a file, and keeps every mistake with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from metis_flow.errors import WorkflowError, did_you_mean
from metis_flow.workflow.expressions import (
    OPENER,
    ExpressionError,
    Template,
    compile_condition,
    compile_text,
    has_expression,
    spans,
)
from metis_flow.workflow.functions import STATUS_FUNCTIONS
from metis_flow.workflow.mistakes import Mistakes
from metis_flow.workflow.source import MAX_MISTAKES, Document, Location, Span
from metis_flow.workflow.trees import Constant, Value, build

MAX_EXPRESSIONS = 100_000
"""Most characters that the different expressions of a file may have together, counting some for each."""
MAX_OF_TEXT = 10
"""Most mistakes that are shown of one text: the place of each is looked for in the whole of it."""
_COST = 50
"""Characters that each text counts for, besides its own."""
BASE_NAMES = frozenset({"params", "steps", "run"})
ROUND_NAMES = frozenset({"round", "previous"})
ANY_AXIS = "matrix.*"
"""Among the names that are known: the matrix may have any axis. Else ``matrix.<axis>`` stands there for each."""
_WHOLE = re.compile(r"\s*\$\{\{[\s\S]*\}\}\s*")


@dataclass(frozen=True)
class Shape:
    """What others must know of a step to refer to it.

    Attributes:
        verb: None where it has no single one.
    """

    fan_out: bool
    verb: str | None


class Compiler:
    """Compiles the texts of one document.

    Args:
        document: where they stand.
        params: the names of the parameters.
        steps: the shape of each step of the workflow.
        home: the workflow's folder, as messages show it.

    Attributes:
        problems: the mistakes found.
        included: the texts of other files, by their paths relative to the workflow.
    """

    def __init__(self, document: Document, params: Iterable[str], steps: Mapping[str, Shape], home: Path) -> None:
        self.document = document
        self.params = sorted(params)
        self.steps = steps
        self.home = home
        self.problems = Mistakes()
        self.included: dict[str, str] = {}
        self._compiled: dict[tuple[str, bool], Template] = {}
        self._spent = 0

    def problem(self, summary: str, place: Location, *, hint: str | None = None, key: bool = False) -> None:
        """Note a mistake at a place."""
        self.problems.append(self.document.error(summary, place, hint=hint, key=key))

    def tree(self, data: Any, place: Location, names: frozenset[str]) -> Value:
        """A value with expressions at any depth; keys are plain."""
        for spot in _keys_withspans(data, place):
            self.problem("a key cannot hold an expression", spot, key=True, hint="put it into a value")
        return build(data, lambda text, spot: self.text(text, spot, names), place)

    def text(self, text: str, place: Location, names: frozenset[str], *, blocks: bool = False) -> Value:
        """A text with expressions; a constant where it holds none."""
        return self._template(text, Origin(self.document, self.document.span(place)), names, blocks)

    def single(self, data: Any, place: Location, names: frozenset[str]) -> Value:
        """A value that is plain data or one lone expression; the models refuse other texts."""
        value = self.tree(data, place, names)
        if isinstance(value, Template) and not value.lone and _WHOLE.fullmatch(value.source):
            self.problem(f"'{_named(place)}' takes one expression, without text around it", place)
        return value

    def file(self, name: Any, place: Location, folder: Path, names: frozenset[str]) -> Value:
        """The text of a prompt file, with expressions and blocks; what is wrong in it is shown there."""
        text = self.file_text(name, place, folder)
        if text is None:
            return Constant(None)
        whole = Document(str(self.home / name), text)
        return self._template(text, Origin(whole, Span(1, 1, 0, len(text))), names, blocks=True)

    def condition(self, data: Any, place: Location, names: frozenset[str]) -> Template | None:
        """``if`` or ``check``: one expression, with or without ``${{ }}``."""
        if not isinstance(data, str | bool):
            return None  # missing, or the model has said what is wrong
        text = ("true" if data else "false") if isinstance(data, bool) else data
        origin = Origin(self.document, self.document.span(place))
        try:
            template = compile_condition(text, origin.where)
        except ExpressionError as error:
            self.problems.append(origin.error(error, text))
            return None
        return template if self._names_are_known(template, origin, names) else None

    def file_text(self, name: Any, place: Location, folder: Path) -> str | None:
        """The text of a file beside the workflow."""
        if not isinstance(name, str):
            return None  # the model has said what is wrong
        if name in self.included:
            return self.included[name]
        if has_expression(name):
            self.problem("'from' takes the name of a file, without expressions", place)
            return None
        try:
            text = (folder / name).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            self.problem(f"the file '{name}' is not UTF-8 text", place)
        except ValueError:
            self.problem("the name of the file holds a NUL character", place)
        except OSError as error:
            self.problem(
                f"the file '{name}' cannot be read: {error.strerror}", place, hint="paths are relative to the workflow"
            )
        else:
            self.included[name] = text
            return text
        return None

    def refuse_expressions(self, text: str, place: Location, summary: str, hint: str) -> bool:
        """Note each expression in a text that may hold none; whether there was any."""
        origin = Origin(self.document, self.document.span(place))
        count = sum(1 for _ in islice(OPENER.finditer(text), MAX_MISTAKES + 1))
        found = islice(spans(self.document.text, origin.span.start, origin.span.end), count)
        starts = [start for start, _ in found] or [origin.span.start][:count]
        self.problems.extend(self.document.error_at_offset(summary, start, hint=hint) for start in starts)
        return bool(count)

    def _template(self, text: str, origin: Origin, names: frozenset[str], blocks: bool) -> Value:
        if not has_expression(text):
            return Constant(text)
        try:
            template = self._compile(text, origin.where, blocks)
        except ExpressionError as error:
            self.problems.append(origin.error(error, text))
            return Constant(None)
        return template if self._names_are_known(template, origin, names) else Constant(None)

    def _compile(self, text: str, where: str, blocks: bool) -> Template:
        """The text compiled, once where it stands in several places."""
        known = self._compiled.get((text, blocks))
        if known is not None:
            return replace(known, origin=where)
        self._spent += _COST + sum(end - start for start, end in islice(spans(text, 0, len(text)), MAX_EXPRESSIONS))
        if self._spent > MAX_EXPRESSIONS:
            hint = "let a fan-out or a 'python' step do what many expressions do"
            raise ExpressionError(f"the expressions of a file have {MAX_EXPRESSIONS:,} characters at most", hint=hint)
        return self._compiled.setdefault((text, blocks), compile_text(text, where, blocks=blocks))

    def _names_are_known(self, template: Template, origin: Origin, names: frozenset[str]) -> bool:
        errors = [
            *(_unknown_name(name, names) for name in sorted(template.names - names)),
            *(error for path in sorted(template.paths) if (error := self._unknown_field(path, names)) is not None),
            *(
                error
                for ref in sorted(template.refs, key=lambda ref: (ref.step, ref.field))
                if (error := self._wrong_reference(ref.step, ref.field)) is not None
            ),
        ]
        self.problems.extend(origin.error(error, template.source) for error in errors[:MAX_OF_TEXT])
        return not errors

    def _unknown_field(self, path: str, names: frozenset[str]) -> ExpressionError | None:
        root, _, rest = path.partition(".")
        word = rest.split(".")[0]
        if root == "params" and word and word not in self.params:
            hint = did_you_mean(word, self.params) or "declare it under 'params'"
            return ExpressionError(f"there is no parameter '{word}'", word=f"params.{word}", hint=hint)
        if root == "matrix" and word and "matrix" in names and not names & {f"matrix.{word}", ANY_AXIS}:
            axes = [name.removeprefix("matrix.") for name in names if name.startswith("matrix.")]
            return ExpressionError(
                f"the matrix has no axis '{word}'", word=f"matrix.{word}", hint=did_you_mean(word, axes)
            )
        if root == "run" and word and word != "id":
            return ExpressionError(f"the run has no '{word}'", word=f"run.{word}", hint="write run.id")
        return None

    def _wrong_reference(self, step: str, field: str) -> ExpressionError | None:
        word = f"steps.{step}"
        if step not in self.steps:
            return ExpressionError(f"there is no step '{step}'", word=word, hint=did_you_mean(step, self.steps))
        verb, fan_out = self.steps[step].verb, self.steps[step].fan_out
        if field == "messages" and verb not in (None, "chat"):
            return ExpressionError(f"'{step}' is a {verb} step, and has no messages", word=f"{word}.messages")
        if field == "messages" and fan_out:
            hint = f"each row of steps.{step}.results has messages"
            return ExpressionError(f"'{step}' has a conversation for each item", word=f"{word}.messages", hint=hint)
        if field == "output" and fan_out:
            hint = f"write steps.{step}.outputs (successes) or steps.{step}.results (every item)"
            return ExpressionError(f"'{step}' has an output for each item", word=f"{word}.output", hint=hint)
        if field in ("outputs", "results") and not fan_out:
            hint = f"write steps.{step}.output"
            return ExpressionError(f"'{step}' has one output", word=f"{word}.{field}", hint=hint)
        return None


class Origin:
    """Where a text with expressions stands, to find the place of each mistake in it.

    Args:
        document: the file.
        span: the text's place in it, as it is written there: quoted, folded or as it is.
    """

    def __init__(self, document: Document, span: Span) -> None:
        self.document = document
        self.span = span

    @property
    def where(self) -> str:
        """``file:line:column`` of its start."""
        return f"{self.document.path}:{self.span.line}:{self.span.column}"

    def opener(self, index: int) -> int:
        """The offset in the file of the text's expression number ``index``."""
        found = islice(spans(self.document.text, self.span.start, self.span.end), index + 1)
        return max((start for start, _ in found), default=self.span.start)

    def error(self, error: ExpressionError, text: str) -> WorkflowError:
        """The mistake, at the word it speaks of, or else at the expression that holds it."""
        before = sum(map(len, text.splitlines(keepends=True)[: error.line - 1])) if error.line > 1 else 0
        earlier = takewhile(lambda part: part[0] < before, spans(text, 0, len(text)))
        index = sum(1 for _, end in earlier if end <= before)
        offset = self.opener(index)
        word = self._find(error.word, offset) if error.word else None
        return self.document.error_at_offset(error.summary, offset if word is None else word, hint=error.hint)

    def _find(self, word: str, offset: int) -> int | None:
        """The first place of a word such as ``x``, or of the last of ``steps.x``, inside an expression."""
        joint = r"\s*(?:\.\s*|\[\s*\\?[\"'])"
        *first, last = word.split(".")
        path = "".join(re.escape(part) + joint for part in first)
        # outside of quotes if it can be; a condition as a whole may stand in quotes
        patterns = [re.compile(rf"(?<![{before}]){path}({re.escape(last)})(?!\w)") for before in (r"\w.'\"", r"\w.")]
        if not OPENER.match(self.document.text, offset):  # a condition may stand without '${{ }}'
            parts = [(self.span.start, self.span.end)]
        else:
            parts = list(spans(self.document.text, offset, self.span.end))
        matches = (pattern.search(self.document.text, *part) for pattern in patterns for part in parts)
        return next((match.start(1) for match in matches if match), None)


def _named(place: Location) -> str | int:
    """The nearest name at a place: its own, or that of the list that it stands in."""
    return next((part for part in reversed(place) if isinstance(part, str)), "")


def _unknown_name(name: str, names: frozenset[str]) -> ExpressionError:
    if name in STATUS_FUNCTIONS:
        return ExpressionError(f"{name}() is for 'if' only", word=name)
    if names == {"params"}:
        hint = "only parameters may stand here: what a model or a data file said never becomes a path"
        return ExpressionError(f"'{name}' cannot make the name of a file", word=name, hint=hint)
    spread = names & {"matrix", "repeat"}
    own = {known for known in names - BASE_NAMES - STATUS_FUNCTIONS - ROUND_NAMES - spread if "." not in known}
    own -= {"key", "output"}
    if name == "item" and own:
        return ExpressionError(
            f"the item is called '{next(iter(own))}' here", word=name, hint="'as' gives it this name"
        )
    if name == "key" and (own or spread):
        return ExpressionError("'key' is not known inside 'key'", word=name, hint="make it from the item")
    if name in _NEEDS:
        return ExpressionError(f"'{name}' needs {_NEEDS[name]}", word=name)
    if name in ROUND_NAMES:
        hint = "a step with 'until' has it in what it does, in 'check' and in 'until'"
        return ExpressionError(f"'{name}' is not known here", word=name, hint=hint)
    hints = did_you_mean(name, {known for known in names if "." not in known})
    return ExpressionError(f"the name '{name}' is not known here", word=name, hint=hints)


_NEEDS = {
    "item": "'foreach' on the step",
    "key": "'foreach', 'matrix' or 'repeat' on the step",
    "matrix": "'matrix' on the step",
    "repeat": "'repeat' on the step",
}


def _keys_withspans(data: Any, place: Location) -> Iterator[Location]:
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, part in parts:
        if isinstance(name, str) and has_expression(name):
            yield (*place, name)
        yield from _keys_withspans(part, (*place, name))
