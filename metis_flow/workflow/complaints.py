"""What to do about a file that is not YAML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from metis_flow.errors import WorkflowError

if TYPE_CHECKING:
    from metis_flow.workflow.source import Document


def syntax_error(document: Document, error: yaml.MarkedYAMLError) -> WorkflowError:
    """The parser's complaint, at its place in the file, with what to do about it."""
    mark = error.problem_mark or error.context_mark
    reason = str(error.problem or error.context)
    if mark is None:
        return document.error(f"this is not YAML: {reason}")
    offset = min(mark.index, len(document.text))
    if document.text[offset - 1 : offset + 1] == "${":
        offset -= 1  # the parser stumbles over the second character of an expression
    line, _ = document.line_and_column(offset)
    hint = _quote_hint(document, line, offset) or _reason_hint(document, offset, reason)
    began = error.context_mark
    if hint is None and began is not None:
        first, _ = document.line_and_column(began.index)
        hint = f"what begins on line {first} is not closed" if first != line or offset < mark.index else None
    return document.error_at_offset(f"this is not YAML: {reason}", offset, hint=hint)


def _quote_hint(document: Document, line: int, offset: int) -> str | None:
    """Most syntax errors in a workflow are an expression that YAML reads as something of its own."""
    whole = document.line_text(line)[:2000]
    if document.text.startswith("${", offset) or ("${{" in whole and re.search(r"[\[{,]\s*[^\"']*\$\{\{", whole)):
        return 'inside { } or [ ] an expression must be quoted: "${{ … }}"'
    if "${{" in whole:
        return 'quote the expression: "${{ … }}"'
    if "\t" in whole[: len(whole) - len(whole.lstrip())]:
        return "indent with spaces, not tabs"
    return None


def _reason_hint(document: Document, offset: int, reason: str) -> str | None:
    """What to do about the parser's commonest complaints."""
    if "mapping values are not allowed" in reason:
        return "quote a text that holds ': ', or check the indentation"
    if "cannot start any token" in reason:
        return f"quote a text that begins with {document.text[offset : offset + 1]}"
    return "check the indentation" if "expected key" in reason or "expected <block end>" in reason else None
