"""Expressions: Jinja2's expression language between ``${{`` and ``}}``, in its immutable sandbox.

A compiled value knows which names and which steps it refers to, so that the plan can draw its edges without
evaluating anything. Rendering is one pass: what a value contains is never rendered again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context

from metis_flow.errors import ExpressionFailed, did_you_mean
from metis_flow.workflow.functions import GLOBALS, STATUS_FUNCTIONS, Misfit
from metis_flow.workflow.sandbox import ENVIRONMENT, InText, settle

OPENER = re.compile(r"\$\{\{|\$\{%")
MAX_CHARACTERS = 10_000
"""Most characters that the expressions of one text may have together: compiling takes its time for each."""
_CLOSERS = {"${{": "}}", "${%": "%}"}
_STRIPPING = re.compile(r"\$\{\{([-+])(?=\S)")
STEP_FIELDS = ("output", "outputs", "results", "messages", "status", "error")


@dataclass(frozen=True)
class StepRef:
    """A reference to a field of a step: ``steps.<step>.<field>``."""

    step: str
    field: str


class ExpressionError(ValueError):
    """An expression that cannot be compiled.

    Args:
        summary: what is wrong.
        line: 1-based line inside the text.
        word: the word to point at, where there is one; the last one where it is dotted.
        hint: what to do.
    """

    def __init__(self, summary: str, *, line: int = 1, word: str | None = None, hint: str | None = None) -> None:
        super().__init__(summary)
        self.summary, self.line, self.word, self.hint = summary, line, word, hint


@dataclass(frozen=True)
class Template:
    """A compiled text or lone expression.

    Attributes:
        source: the text as it was written.
        origin: ``file:line:column`` of where it stands.
        lone: it is one expression and nothing else, so the value keeps its type.
        names: the names it refers to, functions left out.
        refs: the steps it refers to.
        direct: the step field that it is, where it is nothing but ``steps.x.field``.
        paths: dotted names it reads, such as ``hit.status``.
    """

    source: str
    origin: str
    lone: bool
    names: frozenset[str]
    refs: frozenset[StepRef]
    direct: StepRef | None
    paths: frozenset[str]
    _render: Callable[[Mapping[str, Any]], Any] = field(repr=False, compare=False)

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The value: of its own type for a lone expression, else text.

        Raises:
            ExpressionFailed: the scope lacks something, or the values do not fit.
        """
        try:
            return settle(self._render(scope))
        except Misfit as error:
            raise self._failed(str(error), None) from None
        except InText as error:
            summary = f"{error} cannot stand inside text"
            raise self._failed(summary, "say how: json(x), lines(x) or join(x, ', ')") from None
        except jinja2.UndefinedError as error:
            raise self._failed(str(error), "check the name, or test it with 'is defined'") from None
        except SecurityError as error:
            raise self._failed(f"not allowed in an expression: {error}", None) from None
        except RecursionError:
            raise self._failed("the expression goes too deep", None) from None
        except Exception as error:  # whatever a filter raises on the values that it got
            raise self._failed(f"{type(error).__name__}: {error}", None) from None

    def _failed(self, summary: str, hint: str | None) -> ExpressionFailed:
        shown = self.source.strip()
        shown = shown if len(shown) <= 200 else shown[:200] + " …"
        return ExpressionFailed(summary, hint=hint, detail=f"{self.origin}\n{shown}")


def spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Start and end of each expression and block in a part of a text; where one is not closed, it goes to the end."""
    closing: dict[str, int] = {}
    for match in OPENER.finditer(text, start, end):
        closer = _CLOSERS[match[0]]
        if closing.get(closer, -1) < match.end():  # looked for once for all openers before it
            found = text.find(closer, match.end(), end)
            closing[closer] = found if found >= 0 else end
        yield match.start(), closing[closer]


def has_expression(text: str) -> bool:
    """Whether a text holds anything to evaluate."""
    return OPENER.search(text) is not None


def compile_text(text: str, origin: str, *, blocks: bool = False) -> Template:
    """Compile a text with expressions in it.

    Args:
        text: the text.
        origin: ``file:line:column`` for messages at run time.
        blocks: whether ``${% … %}`` is allowed.

    Raises:
        ExpressionError: the text cannot be compiled.
    """
    try:
        return _compile(text, origin, blocks)
    except jinja2.TemplateSyntaxError as error:
        raise _syntax(error) from None
    except ExpressionError:
        raise
    except (RecursionError, MemoryError, SyntaxError):  # Jinja2's own limits, then those of Python's compiler
        raise ExpressionError("the expression goes too deep") from None
    except ValueError:  # Python reads numbers of up to 4300 digits
        raise ExpressionError("the expression cannot be read: a number in it is too long") from None


def _compile(text: str, origin: str, blocks: bool) -> Template:
    _refuse_long(text)
    stripping = _STRIPPING.search(text)
    if stripping is not None:
        summary = f"'${{{{{stripping[1]}' is about the space before it, and is no sign"
        line = text.count("\n", 0, stripping.start()) + 1
        raise ExpressionError(summary, line=line, hint=f"write '${{{{ {stripping[1]}'")
    tree = ENVIRONMENT.parse(text)
    _refuse(tree, text, blocks)
    single = _lone_expression(tree)
    refs, direct, paths = _references(tree, single)
    return Template(
        source=text,
        origin=origin,
        lone=single is not None,
        names=_undeclared(tree) - GLOBALS.keys(),
        refs=frozenset(refs),
        direct=direct,
        paths=frozenset(paths),
        _render=_renderer_of_text(tree) if single is None else _renderer_of_value(single),
    )


def _renderer_of_text(tree: nodes.Template) -> Callable[[Mapping[str, Any]], Any]:
    render = ENVIRONMENT.from_string(tree).root_render_func
    return lambda scope: "".join(render(_context(scope)))


def _renderer_of_value(single: nodes.Expr) -> Callable[[Mapping[str, Any]], Any]:
    assign = nodes.Assign(nodes.Name("result", "store"), single, lineno=1)
    render = ENVIRONMENT.from_string(nodes.Template([assign], lineno=1)).root_render_func

    def value(scope: Mapping[str, Any]) -> Any:
        context = _context(scope)
        for _ in render(context):
            pass
        return context.vars["result"]

    return value


def _context(scope: Mapping[str, Any]) -> Context:
    """What an expression sees. ``Template.new_context`` would take longer than most expressions."""
    return Context(ENVIRONMENT, {**GLOBALS, **scope}, None, {})


def _refuse_long(text: str) -> None:
    total = past = 0
    for start, end in spans(text, 0, len(text)):
        total += max(0, end - max(start, past))
        past = max(past, end)
        if total > MAX_CHARACTERS:
            hint = "let a 'python' step work it out, or put long texts outside of the braces"
            raise ExpressionError(f"the expressions of one text have {MAX_CHARACTERS:,} characters at most", hint=hint)


def compile_condition(text: str, origin: str) -> Template:
    """Compile ``if``, ``until`` or ``check``, which may leave out the ``${{ }}``; space around it means nothing."""
    text = text.strip()
    template = compile_text(text if has_expression(text) else f"${{{{ {text} }}}}", origin)
    if not template.lone:
        raise ExpressionError("a condition is one expression", hint="write it without text around it")
    return template


def _undeclared(tree: nodes.Template) -> frozenset[str]:
    """The names that must come from outside; `meta.find_undeclared_variables` would evaluate constants to find them."""
    tracker = meta.TrackingCodeGenerator(ENVIRONMENT)
    tracker.optimizer = None
    tracker.visit(tree)
    return frozenset(tracker.undeclared_identifiers)


_PHRASES = {
    "end of print statement": "}}",
    "end of statement block": "%}",
    "begin of print statement": "${{",
    "begin of statement block": "${%",
}


def _syntax(error: jinja2.TemplateSyntaxError) -> ExpressionError:
    message = (error.message or "it has a mistake").rstrip(".")
    message = message[:1].lower() + message[1:]
    hint: str | None = None
    unclosed = re.search(r"needs to be closed is '(\w+)'", message)
    unknown = re.match(r"encountered unknown tag '(\w+)'", message)
    if unknown is not None:
        message = f"there is no block '{unknown[1]}'"
    elif unclosed is not None:
        message, hint = f"the block '{unclosed[1]}' has no end", f"write '${{% end{unclosed[1]} %}}'"
    elif "end of template" in message:
        message, hint = "it has no end", "end it with '}}'; where it is not quoted, ' #' begins a comment"
    elif re.match(r"unexpected char [\"']['\"]", message):
        message = "a quote is not closed"
    elif message == "unexpected 'end of print statement'":
        message = "it ends too early"
    elif message == "expected an expression, got 'end of print statement'":
        message = "it is empty"
    for phrase, written in _PHRASES.items():
        message = message.replace(f"'{phrase}'", f"'{written}'").replace(phrase, f"'{written}'")
    return ExpressionError(f"the expression cannot be read: {message}", line=error.lineno, hint=hint)


def _refuse(tree: nodes.Template, text: str, blocks: bool) -> None:
    """What is Jinja2, and not the language of workflow files; and what would only fail when it is evaluated."""
    banned = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)
    for node in tree.find_all(banned):
        raise ExpressionError("a template cannot include another file", line=node.lineno, hint="use {from: FILE}")
    if not blocks and "${%" in text:
        for line, token, _ in ENVIRONMENT.lex(text):
            if token in ("block_begin", "raw_begin"):
                hint = "use an expression, or filters such as map and select"
                raise ExpressionError("blocks '${% … %}' are for prompts only", line=line, hint=hint)
    for kind, known in ((nodes.Filter, ENVIRONMENT.filters), (nodes.Test, ENVIRONMENT.tests)):
        for use in tree.find_all(kind):
            if use.name not in known:
                summary = f"there is no {kind.__name__.lower()} '{use.name}'"
                guess = did_you_mean(use.name, known)
                raise ExpressionError(summary, line=use.lineno, word=use.name, hint=guess)
    for const in tree.find_all(nodes.Const):
        if isinstance(const.value, float) and not math.isfinite(const.value):
            raise ExpressionError("a number is too large", line=const.lineno)
    _refuse_uncalled(tree)


def _refuse_uncalled(tree: nodes.Template) -> None:
    """A function without its parentheses would always be true; and ``self`` is a template's own."""
    called = {id(call.node) for call in tree.find_all(nodes.Call)}
    names = list(tree.find_all(nodes.Name))
    own = {node.name for node in names if node.ctx != "load"}
    for node in names:
        if node.name in own:
            continue
        if node.name == "self":
            raise ExpressionError("the name 'self' is not known here", line=node.lineno, word="self")
        if id(node) not in called and (node.name in GLOBALS or node.name in STATUS_FUNCTIONS):
            hint = f"write {node.name}(…)" if node.name in GLOBALS else f"write {node.name}()"
            raise ExpressionError(f"'{node.name}' is a function", line=node.lineno, word=node.name, hint=hint)


def _lone_expression(tree: nodes.Template) -> nodes.Expr | None:
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output):
        parts = tree.body[0].nodes
        if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData):
            return parts[0]
    return None


def _references(tree: nodes.Template, single: nodes.Expr | None) -> tuple[set[StepRef], StepRef | None, set[str]]:
    refs: set[StepRef] = set()
    paths: set[str] = set()
    for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Name)):
        path = _dotted(node)
        if path is None:
            continue
        paths.add(".".join(path))
        if path[0] == "steps":
            if len(path) >= 3 and path[2] in STEP_FIELDS:
                refs.add(StepRef(path[1], path[2]))
            elif len(path) >= 3:
                hint = did_you_mean(path[2], STEP_FIELDS)
                word = f"steps.{path[1]}.{path[2]}"
                raise ExpressionError(f"a step has no '{path[2]}'", line=node.lineno, word=word, hint=hint)
    _refuse_bare_steps(tree)
    exact = _dotted(single) if single is not None else None
    direct = StepRef(exact[1], exact[2]) if exact and exact[0] == "steps" and len(exact) == 3 else None
    return refs, direct, paths


def _refuse_bare_steps(tree: nodes.Template) -> None:
    """Every mention of ``steps`` must name a step and a field, or the edges could not be known."""
    named = sum(
        1
        for node in tree.find_all((nodes.Getattr, nodes.Getitem))
        if (path := _dotted(node)) and path[0] == "steps" and len(path) == 3
    )
    bare = [node for node in tree.find_all(nodes.Name) if node.name == "steps" and node.ctx == "load"]
    if len(bare) > named:
        hint = "write steps.NAME.output (one instance), .outputs or .results (a fan-out)"
        raise ExpressionError("'steps' needs a step's name and a field", line=bare[0].lineno, word="steps", hint=hint)


def _dotted(node: nodes.Node) -> list[str] | None:
    """``a.b['c']`` as its parts, where each is a constant word."""
    parts: list[str] = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            parts.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            parts.append(node.arg.value)
        else:
            return None
        node = node.node
    return [node.name, *reversed(parts)]
