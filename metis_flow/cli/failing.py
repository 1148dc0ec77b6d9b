"""What a user sees, and a program gets, where a command fails."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import click

from metis_flow._version import __version__
from metis_flow.cli.documents import print_document
from metis_flow.errors import EXIT_FAILED, EXIT_USAGE, MetisFlowError, WorkflowInvalid
from metis_flow.views.safe_text import one_line, safe

DEBUG = "METIS_FLOW_DEBUG"


def error_as_json(error: MetisFlowError) -> dict[str, Any]:
    """The error of a document."""
    found = _error(error.summary, error.where, error.hint, error.exit_code)
    if isinstance(error, WorkflowInvalid):
        problems = error.problems
        found["problems"] = [_error(part.summary, part.where, part.hint, part.exit_code) for part in problems]
    return found


def fail(error: MetisFlowError, *, as_json: bool) -> int:
    """Tell an error of ours; its exit code."""
    _tell(error.render(), error_as_json(error), as_json=as_json)
    return error.exit_code


def fail_usage(error: click.ClickException, *, as_json: bool) -> int:
    """Tell what is wrong with the command line; the exit code."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "metis-flow"
    hint = f"{path} --help"
    summary = error.format_message()
    usage = f"{context.get_usage()}\n" if context is not None else ""
    _tell(f"{usage}{summary}\n  hint: {hint}", _error(summary, path, hint, EXIT_USAGE), as_json=as_json)
    return EXIT_USAGE


def fail_unexpectedly(error: Exception, *, as_json: bool) -> int:
    """Tell of a fault of our own, or of the machine; the exit code."""
    words = one_line(f"{type(error).__name__}: {error}", 300)
    if isinstance(error, OSError) and error.strerror:
        summary = one_line(": ".join(str(part) for part in (error.filename, error.strerror) if part is not None), 300)
        hint = f"{DEBUG}=1 shows where it happened"
    else:
        summary = f"a fault of metis-flow {__version__}: {words}"
        hint = f"report it to its developers, with what {DEBUG}=1 shows"
    if os.environ.get(DEBUG) == "1":
        sys.stderr.write(safe("".join(traceback.format_exception(error))))
    _tell(f"{summary}\n  hint: {hint}", _error(summary, None, hint, EXIT_FAILED), as_json=as_json)
    return EXIT_FAILED


def _error(summary: str, where: str | None, hint: str | None, code: int) -> dict[str, Any]:
    return {"summary": summary, "where": where, "hint": hint, "code": code}


def _tell(text: str, error: Mapping[str, Any], *, as_json: bool) -> None:
    sys.stderr.write(safe(text) + "\n")
    if as_json:
        print_document({"error": dict(error)})
