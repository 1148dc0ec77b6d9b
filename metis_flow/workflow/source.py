"""YAML as scientists mean it, with the place of every value kept.

The scalars are those of YAML 1.2's core schema, plus ``1_000`` and ``1e-5`` as numbers. Dates, times, ``010`` and
``yes/no/on/off`` stay strings. What could surprise (merge keys, tags, ``.nan``, duplicate keys) is refused.
"""

from __future__ import annotations

import bisect
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from metis_flow.errors import WorkflowError
from metis_flow.workflow.complaints import syntax_error

Location = tuple[str | int, ...]
"""Where a value stands inside the document: keys and indices from the root."""

MAX_DEPTH = 64
MAX_ALIASED_NODES = 10_000
MAX_NODES = 20_000
"""Most keys and values of a workflow file."""
MAX_MISTAKES = 100
"""Most mistakes that are shown together; nobody reads more, and each takes its time to be found."""
MAX_SUMMARY = 400
"""Most characters of the summary of a mistake, which may show a word of the file."""

# libyaml ends lines where YAML 1.2 does not; texts copied from web pages hold these characters. While it reads, each
# has another in its place, from an area that Unicode gives no meaning to.
_HIDDEN = {"\x85": "\U000f0085", "\u2028": "\U000f2028", "\u2029": "\U000f2029"}

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*(_[0-9]+)*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NOT_JSON = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True)
class Span:
    """Where a node stands: 1-based line and column of its start, and its character offsets."""

    line: int
    column: int
    start: int
    end: int


@dataclass
class Document:
    """A parsed YAML file: plain Python data, and the span of each key and value.

    Attributes:
        path: the file, as the user named it.
        text: the whole text.
        data: dicts with string keys, lists, strings, ints, floats, bools and None.
        values: the span of the value at each location.
        keys: the span of the key at each location.
        problems: what was refused on the way, the first of it where there is much; the data leaves those parts out.
    """

    path: str
    text: str
    data: Any = None
    values: dict[Location, Span] = field(default_factory=dict)
    keys: dict[Location, Span] = field(default_factory=dict)
    problems: list[WorkflowError] = field(default_factory=list)
    _line_starts: list[int] = field(default_factory=list)

    def span(self, location: Location, *, key: bool = False) -> Span:
        """The span of the value (or of the key) at a location, or of its nearest ancestor that has one."""
        while location:
            if key and location in self.keys:
                return self.keys[location]
            if location in self.values:
                return self.values[location]
            location, key = location[:-1], False
        return self.values.get((), Span(1, 1, 0, 0))

    def error(
        self, summary: str, location: Location = (), *, hint: str | None = None, key: bool = False
    ) -> WorkflowError:
        """An error at the value (or the key) of a location."""
        span = self.span(location, key=key)
        return self.error_at(summary, span.line, span.column, hint=hint)

    def error_at(self, summary: str, line: int, column: int, *, hint: str | None = None) -> WorkflowError:
        """An error at a line and column, with the offending line shown."""
        if len(summary) > MAX_SUMMARY:
            summary = f"{summary[: MAX_SUMMARY // 2]} … {summary[-MAX_SUMMARY // 2 :]}"
        return WorkflowError(
            summary, where=f"{self.path}:{line}:{column}", hint=hint, detail=self._excerpt(line, column)
        )

    def error_at_offset(self, summary: str, offset: int, *, hint: str | None = None) -> WorkflowError:
        """An error at a character offset of the text."""
        return self.error_at(summary, *self.line_and_column(offset), hint=hint)

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """The 1-based line and column of a character offset."""
        if not self._line_starts:
            self._line_starts = [0, *accumulate(map(len, io.StringIO(self.text, newline="")))]
            if self.text and self.text[-1] not in "\r\n":
                self._line_starts.pop()  # what ends the text ends no line
        line = bisect.bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line_text(self, line: int) -> str:
        """A line of the text, without its end."""
        self.line_and_column(0)
        start = self._line_starts[line - 1]
        end = self._line_starts[line] if line < len(self._line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")

    def _excerpt(self, line: int, column: int, width: int = 100) -> str:
        skip = max(0, column - 1 - width + 20)
        shown = self.line_text(line)[skip : skip + width]
        shown = "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in shown)
        pad = "".join("\t" if char == "\t" else " " for char in shown[: column - 1 - skip])
        number = f"{line} | "
        return f"{number}{shown}\n{' ' * len(number)}{pad}^"


def read_document(path: Path, shown_as: str | None = None, *, max_nodes: int | None = None) -> Document:
    """Read and parse a YAML file.

    Args:
        max_nodes: most keys and values that it may hold.

    Raises:
        WorkflowError: the file cannot be read, is not UTF-8, is not YAML, or holds too much.
    """
    name = shown_as or str(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise WorkflowError("there is no such file", where=name, hint="check the path") from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8-sig", "replace")
        line, column = Document(name, before).line_and_column(len(before))
        where = f"{name}:{line}:{column}"
        raise WorkflowError("the file is not UTF-8 text", where=where, hint="save it as UTF-8") from None
    except OSError as error:
        raise WorkflowError(f"the file cannot be read: {error.strerror}", where=name) from None
    return parse_document(text, name, max_nodes=max_nodes)


def parse_document(text: str, path: str = "<text>", *, max_nodes: int | None = None) -> Document:
    """Parse YAML text.

    Args:
        max_nodes: most keys and values that it may hold.

    Raises:
        WorkflowError: the text is not YAML at all, or holds too much. Smaller refusals are in ``Document.problems``.
    """
    document = Document(path=path, text=text.removeprefix("\ufeff"))
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _Builder(document, yaml.parse(_hidden(document.text), Loader=loader), max_nodes).run()
    except yaml.MarkedYAMLError as error:
        raise syntax_error(document, error) from None
    except yaml.reader.ReaderError as error:
        offset = _reader_offset(document.text, int(error.position))
        raise document.error_at_offset("the file holds a character that YAML does not allow", offset) from None
    except UnicodeEncodeError as error:
        raise document.error_at_offset("the file holds a character that is not text", error.start) from None
    return document


class _Builder:
    """Turns parser events into data. Depth and the number of aliased nodes are bounded."""

    def __init__(self, document: Document, events: Iterator[Any], max_nodes: int | None) -> None:
        self.document = document
        self.events = events
        self.max_nodes = max_nodes
        self.anchors: dict[str, tuple[Any, Location, int]] = {}
        self.open_anchors: set[str] = set()
        self.aliased = 0
        self.nodes = 0

    def run(self) -> None:
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if self.document.values:
                    raise self._at(event, "a workflow file holds one YAML document", "remove the second '---'")
            elif isinstance(
                event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent | yaml.AliasEvent
            ):
                self.document.data, _ = self._node(event, (), 0)

    def _node(self, event: Any, location: Location, depth: int) -> tuple[Any, int]:
        """The data of a node and its number of nodes."""
        if depth > MAX_DEPTH:
            raise self._at(event, f"nested deeper than {MAX_DEPTH} levels", "flatten the structure")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, location)
        self.nodes += 1
        if self.max_nodes is not None and self.nodes > self.max_nodes:
            summary = f"a workflow file holds {self.max_nodes:,} keys and values at most"
            raise self._at(event, summary, "put data into a file of its own, and read it with 'uses: read_rows'")
        self._refuse_tag(event)
        self.document.values[location] = self._span(event)
        if event.anchor:
            self.open_anchors.add(event.anchor)
        if isinstance(event, yaml.ScalarEvent):
            value, count = self._scalar(event), 1
        elif isinstance(event, yaml.SequenceStartEvent):
            value, count = self._sequence(location, depth)
        else:
            value, count = self._mapping(location, depth)
        if event.anchor:
            self.open_anchors.discard(event.anchor)
            self.anchors[event.anchor] = (value, location, count)
        return value, count

    def _alias(self, event: Any, location: Location) -> tuple[Any, int]:
        if event.anchor in self.open_anchors:
            raise self._at(event, f"the alias '*{event.anchor}' contains itself", "write the value out")
        if event.anchor not in self.anchors:
            raise self._at(event, f"the alias '*{event.anchor}' has no anchor before it", "write the value out")
        value, origin, count = self.anchors[event.anchor]
        self.aliased += count
        if self.aliased > MAX_ALIASED_NODES:
            raise self._at(event, "the aliases of this file expand to too many values", "write the values out")
        self.document.values[location] = self._span(event)
        for inside in _inner_locations(value):  # what is wrong inside is shown where it is written
            for spans in (self.document.values, self.document.keys):
                if origin + inside in spans:
                    spans[location + inside] = spans[origin + inside]
        return value, count

    def _sequence(self, location: Location, depth: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        count = 1
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            value, size = self._node(event, (*location, len(items)), depth + 1)
            items.append(value)
            count += size
        return items, count

    def _mapping(self, location: Location, depth: int) -> tuple[dict[str, Any], int]:
        items: dict[str, Any] = {}
        count = 1
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            self.nodes += 1
            name = self._key(event)
            is_merge = name == "<<" and not event.style
            place = (*location, name)
            first = self.document.keys.get(place)
            if first is not None:
                self._problem(event, f"the key '{name}' is written twice", f"the first is on line {first.line}")
                place = (*location, f"{name} (again)")
            self.document.keys[place] = self._span(event)
            value, size = self._node(next(self.events), place, depth + 1)
            count += size + 1
            if first is None and not is_merge:
                items[name] = value
        return items, count

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._at(
                event, "a key must be a plain word or a quoted string", "quote the whole text if it is one expression"
            )
        if event.value == "<<" and not event.style:
            self._problem(event, "merge keys ('<<') are not used in workflow files", "write the keys out")
        self._refuse_tag(event)
        if event.anchor:
            self.anchors[event.anchor] = (_shown(event.value), (), 1)
        return _shown(event.value)

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            word = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            self._problem(event, f"the tag '{word}' is not used in workflow files", "remove it")

    def _scalar(self, event: Any) -> Any:
        text = _shown(event.value)
        if event.style or not event.implicit[0]:
            return text
        try:
            return plain_scalar(text)
        except ValueError as error:
            self._problem(event, str(error), "quote it if it is meant as text")
            return None

    def _at(self, event: Any, summary: str, hint: str) -> WorkflowError:
        return self.document.error_at_offset(summary, event.start_mark.index, hint=hint)

    def _problem(self, event: Any, summary: str, hint: str) -> None:
        if len(self.document.problems) <= MAX_MISTAKES:
            self.document.problems.append(self._at(event, summary, hint))

    def _span(self, event: Any) -> Span:
        # by offset: the parser's own lines also end at characters where an editor's do not, such as U+2028
        line, column = self.document.line_and_column(event.start_mark.index)
        return Span(line, column, event.start_mark.index, event.end_mark.index)


def _hidden(text: str) -> str:
    for here, there in _HIDDEN.items():
        text = text.replace(here, there)
    return text


def _shown(text: str) -> str:
    for here, there in _HIDDEN.items():
        text = text.replace(there, here)
    return text


def plain_scalar(text: str) -> Any:
    """The value of an unquoted scalar.

    Raises:
        ValueError: it is a number that JSON cannot hold (``.nan``, ``.inf``, ``1e999``).

    >>> plain_scalar("1_000"), plain_scalar("010"), plain_scalar("yes")
    (1000, '010', 'yes')
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if len(text) > 400:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL_OR_HEX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise ValueError(f"{text} is too large for a number")
        return number
    if _NOT_JSON.fullmatch(text):
        raise ValueError(f"{text} is not a number that a workflow can hold")
    return text


def _inner_locations(value: Any) -> Iterator[Location]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield (name,)
        for deeper in _inner_locations(part):
            yield (name, *deeper)


def _reader_offset(text: str, position: int) -> int:
    """The character offset of a place that libyaml gives in bytes of UTF-8, and PyYAML's own reader in characters."""
    if getattr(yaml, "CSafeLoader", None) is None:
        return position
    return len(text.encode("utf-8")[:position].decode("utf-8", "ignore"))
