"""Standard output: text for people, or with ``--json`` one document and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

_kept: list[int] = []
"""Descriptors of the real standard output, while it is kept apart for documents."""


@contextlib.contextmanager
def kept_for_documents(wanted: bool) -> Iterator[None]:
    """Only `print_document` reaches standard output, whatever a user's function or a child process prints.

    Descriptor 1 itself points at stderr meanwhile.
    """
    if not wanted:
        yield
        return
    sys.stdout.flush()
    _kept.append(os.dup(1))
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(_kept[-1], 1)
        os.close(_kept.pop())


def close_to_all() -> None:
    """Let nothing more reach standard output: exit handlers and threads of a user's module may still print."""
    os.dup2(2, 1)
    sys.stdout = sys.stderr


def print_document(data: Mapping[str, Any]) -> None:
    """Write the one JSON document of a command, in ASCII: it is safe on a terminal and in any encoding."""
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    if _kept:
        with open(os.dup(_kept[-1]), "w", encoding="ascii") as stream:
            stream.write(text)
    else:
        sys.stdout.write(text)


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Print no more once nobody reads (``| head``), without an error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at its end, and would complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
