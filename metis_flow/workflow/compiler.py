"""Compiles the expressions of a file, and keeps every mistake with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
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
)
from metis_flow.workflow.functions import STATUS_FUNCTIONS
from metis_flow.workflow.source import Document, Location, Span
from metis_flow.workflow.trees import Constant, Value, build

BASE_NAMES = frozenset({"params", "steps", "run"})
_CLOSERS = {"${{": "}}", "${%": "%}"}


class Compiler:
    """Compiles the texts of one document.

    Args:
        document: where they stand.
        params: the names of the parameters.
        steps: for each step, whether it is a fan-out.

    Attributes:
        problems: the mistakes found.
        included: the texts of other files, by the path that the document gives.
    """

    def __init__(self, document: Document, params: Iterable[str], steps: Mapping[str, bool]) -> None:
        self.document = document
        self.params = sorted(params)
        self.steps = steps
        self.problems: list[WorkflowError] = []
        self.included: dict[str, str] = {}

    def problem(self, summary: str, place: Location, *, hint: str | None = None, key: bool = False) -> None:
        """Note a mistake at a place."""
        self.problems.append(self.document.error(summary, place, hint=hint, key=key))

    def tree(self, data: Any, place: Location, names: frozenset[str]) -> Value:
        """A value with expressions at any depth; keys are plain."""
        for spot in _keys_with_expressions(data, place):
            self.problem("a key cannot hold an expression", spot, key=True, hint="put it into a value")
        return build(data, lambda text, spot: self.text(text, spot, names), place)

    def text(self, text: str, place: Location, names: frozenset[str], *, blocks: bool = False) -> Value:
        """A text with expressions; a constant where it holds none."""
        return self._template(text, Origin(self.document, self.document.span(place)), names, blocks)

    def file(self, name: Any, place: Location, folder: Path, names: frozenset[str]) -> Value:
        """The text of a prompt file, with expressions and blocks; what is wrong in it is shown there."""
        text = self.file_text(name, place, folder)
        if text is None:
            return Constant(None)
        whole = Document(str(Path(self.document.path).parent / name), text)
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
        found = [origin.opener(index) for index, _ in enumerate(OPENER.finditer(text))]
        self.problems.extend(self.document.error_at_offset(summary, offset, hint=hint) for offset in found)
        return bool(found)

    def _template(self, text: str, origin: Origin, names: frozenset[str], blocks: bool) -> Value:
        if not has_expression(text):
            return Constant(text)
        try:
            template = compile_text(text, origin.where, blocks=blocks)
        except ExpressionError as error:
            self.problems.append(origin.error(error, text))
            return Constant(None)
        return template if self._names_are_known(template, origin, names) else Constant(None)

    def _names_are_known(self, template: Template, origin: Origin, names: frozenset[str]) -> bool:
        errors = [
            *(_unknown_name(name, names) for name in sorted(template.names - names)),
            *(error for path in sorted(template.paths) if (error := self._unknown_field(path)) is not None),
            *(
                error
                for ref in sorted(template.refs, key=lambda ref: (ref.step, ref.field))
                if (error := self._wrong_reference(ref.step, ref.field)) is not None
            ),
        ]
        self.problems.extend(origin.error(error, template.source) for error in errors)
        return not errors

    def _unknown_field(self, path: str) -> ExpressionError | None:
        root, _, rest = path.partition(".")
        word = rest.split(".")[0]
        if root == "params" and word and word not in self.params:
            hint = did_you_mean(word, self.params) or "declare it under 'params'"
            return ExpressionError(f"there is no parameter '{word}'", word=f"params.{word}", hint=hint)
        if root == "run" and word and word != "id":
            return ExpressionError(f"the run has no '{word}'", word=f"run.{word}", hint="write run.id")
        return None

    def _wrong_reference(self, step: str, field: str) -> ExpressionError | None:
        word = f"steps.{step}"
        if step not in self.steps:
            return ExpressionError(f"there is no step '{step}'", word=word, hint=did_you_mean(step, self.steps))
        if field == "output" and self.steps[step]:
            hint = f"write steps.{step}.outputs (successes) or steps.{step}.results (every item)"
            return ExpressionError(f"'{step}' has an output for each item", word=f"{word}.output", hint=hint)
        if field in ("outputs", "results") and not self.steps[step]:
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
        found = [start for start, _ in _expressions(self.document.text, self.span.start, self.span.end)]
        return found[min(index, len(found) - 1)] if found else self.span.start

    def error(self, error: ExpressionError, text: str) -> WorkflowError:
        """The mistake, at the word it speaks of, or else at the expression that holds it."""
        before = len("".join(text.splitlines(keepends=True)[: error.line - 1]))
        index = sum(1 for _, end in _expressions(text, 0, len(text)) if end <= before)
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
            spans = [(self.span.start, self.span.end)]
        else:
            spans = list(_expressions(self.document.text, offset, self.span.end))
        matches = (pattern.search(self.document.text, *span) for pattern in patterns for span in spans)
        return next((match.start(1) for match in matches if match), None)


def _expressions(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Start and end of each expression and block in a text."""
    for match in OPENER.finditer(text, start, end):
        close = text.find(_CLOSERS[match[0]], match.end(), end)
        yield match.start(), close if close >= 0 else end


def _unknown_name(name: str, names: frozenset[str]) -> ExpressionError:
    if name in STATUS_FUNCTIONS:
        return ExpressionError(f"{name}() is for 'if' only", word=name)
    if names == {"params"}:
        hint = "only parameters may stand here: what a model or a data file said never becomes a path"
        return ExpressionError(f"'{name}' cannot make the name of a file", word=name, hint=hint)
    own = names - BASE_NAMES - STATUS_FUNCTIONS - {"key", "output"}
    if name == "item" and own:
        return ExpressionError(
            f"the item is called '{next(iter(own))}' here", word=name, hint="'as' gives it this name"
        )
    if name == "key" and own:
        return ExpressionError("'key' is not known inside 'key'", word=name, hint="make it from the item")
    if name in ("item", "key"):
        return ExpressionError(f"'{name}' needs 'foreach' on the step", word=name)
    return ExpressionError(f"the name '{name}' is not known here", word=name, hint=did_you_mean(name, names))


def _keys_with_expressions(data: Any, place: Location) -> Iterator[Location]:
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, part in parts:
        if isinstance(name, str) and has_expression(name):
            yield (*place, name)
        yield from _keys_with_expressions(part, (*place, name))
