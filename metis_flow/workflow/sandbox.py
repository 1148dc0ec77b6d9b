"""Jinja2's immutable sandbox, as the expressions of a workflow use it.

It knows data only: on an object ``.name`` is a key and never a Python method, what becomes text looks as it does in
JSON, nothing is escaped for HTML, and nothing is evaluated before it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import make_attrgetter
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import escape

from metis_flow.errors import did_you_mean
from metis_flow.workflow import functions
from metis_flow.workflow.functions import GLOBALS, Misfit, describe
from metis_flow.workflow.rows import Rows
from metis_flow.workflow.values import FileRef, PathParam

MAX_ITEMS = 10_000_000
"""Most items of a list, and most characters of a text, that one operation may make."""
MAX_BITS = 100_000
"""Most bits of a whole number that ``**`` may make."""


class InText(ValueError):
    """A list or object was put into text."""


class Missing(jinja2.StrictUndefined):
    """An undefined name whose message lists what there is."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        name = self._undefined_name
        if self._undefined_hint:
            return self._undefined_hint
        if isinstance(self._undefined_obj, Mapping):
            known = [str(key) for key in self._undefined_obj]
            guess = did_you_mean(str(name), known)
            return f"there is no '{name}' in this object" + (f" ({guess})" if guess else "")
        if self._undefined_obj is jinja2.utils.missing:
            return f"the name '{name}' is not known here"
        return f"{describe(self._undefined_obj)} has no '{name}'"


class _CodeGenerator(CodeGenerator):
    """Writes ``a ~ b`` as a call of `Environment.concatenate`."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.concatenate((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class Environment(ImmutableSandboxedEnvironment):
    """On an object ``.name`` is its key, never a Python method: rows have columns called ``values`` and ``items``."""

    code_generator_class = _CodeGenerator
    intercepted_binops = frozenset({"*", "**"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return self.getitem(obj, attribute)
        if isinstance(obj, Rows) and not hasattr(list, attribute):
            return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping):
            try:
                return obj[argument]
            except (KeyError, TypeError):
                return self.undefined(obj=obj, name=argument)
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """``*`` and ``**``, within bounds: one character of a mistake must not take all memory."""
        if operator == "**":
            if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > MAX_BITS:
                raise Misfit("the result of '**' is too large")
        else:
            for many, times in ((left, right), (right, left)):
                is_repeated = isinstance(many, str | list | tuple | Rows) and isinstance(times, int)
                if is_repeated and len(many) * times > MAX_ITEMS:
                    raise Misfit("the result of '*' is too large")
        return super().call_binop(context, operator, left, right)

    def concatenate(self, parts: Iterable[Any]) -> str:
        """``a ~ b``: one text, each part as it would look inside text."""
        return "".join(map(as_text, parts))


def in_text(value: Any) -> Any:
    """How one value looks inside text.

    Raises:
        InText: it is a list or an object.
    """
    if isinstance(value, str | jinja2.Undefined | FileRef):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    raise InText(describe(value))


def as_text(value: Any) -> str:
    """The value as text.

    Raises:
        InText: it is a list or an object.
    """
    return str(in_text(value))


@jinja2.pass_context
def _finalize(_: Context, value: Any) -> Any:
    # Taking the context keeps Jinja2 from evaluating constants while it compiles.
    return in_text(value)


@jinja2.pass_environment
def _join(environment: jinja2.Environment, value: Any, d: str = "", attribute: str | int | None = None) -> str:
    if attribute is not None and isinstance(value, Iterable):
        value = map(make_attrgetter(environment, attribute), value)
    return functions.join(value, d)


def _list(value: Any) -> list[Any]:
    return _bounded(value)


def _escape(value: Any) -> str:
    return str(escape(as_text(value)))


_FILTERS = {
    "join": _join,
    "list": _list,
    "string": as_text,
    "tojson": functions.json,
    "safe": as_text,
    "escape": _escape,
    "e": _escape,
    "forceescape": _escape,
}
"""Filters that Jinja2 makes for web pages, or that write Python's form of a value."""

# A file's text holds no lone surrogates, so these delimiters of comments can never be met.
_NEVER = "\ud800"
ENVIRONMENT = Environment(
    variable_start_string="${{",
    variable_end_string="}}",
    block_start_string="${%",
    block_end_string="%}",
    comment_start_string=_NEVER + "{",
    comment_end_string=_NEVER + "}",
    undefined=Missing,
    finalize=_finalize,
    autoescape=False,
    keep_trailing_newline=True,
    cache_size=0,
    optimized=False,  # nothing is evaluated while a file is only read: 'x'|center(10**10) would be
)
ENVIRONMENT.globals.clear()
ENVIRONMENT.globals.update(GLOBALS)
ENVIRONMENT.filters.update(_FILTERS)


def settle(value: Any) -> Any:
    """Plain JSON values (ranges, rows and file references too); what is undefined inside is an error.

    Raises:
        Misfit: it is, or holds, something else.
    """
    if isinstance(value, jinja2.Undefined):
        str(value)
    if value is None or isinstance(value, bool | int | range | FileRef | PathParam | Rows):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise Misfit(f"{value} is not a number that a step can take")
    if isinstance(value, Mapping):
        return {as_text(name): settle(part) for name, part in value.items()}
    if isinstance(value, Iterable):
        return [settle(part) for part in (value if isinstance(value, list | tuple) else _bounded(value))]
    raise Misfit(f"{describe(value)} is not a value that a step can take")


def _bounded(values: Iterable[Any]) -> list[Any]:
    items = []
    for item in values:
        items.append(item)
        if len(items) > MAX_ITEMS:
            raise Misfit(f"a list may have {MAX_ITEMS:,} items at most")
    return items
