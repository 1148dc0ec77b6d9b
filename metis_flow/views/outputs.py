"""The outputs of a run, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from metis_flow.views.values import named

LINES_ON_A_TERMINAL = 40


def print_outputs(outputs: Mapping[str, Any], out: TextIO, *, whole: str, indent: int = 0) -> None:
    """Each output by its name. On a terminal a long one is cut, and the rest is where ``whole`` says."""
    margin = " " * indent
    for name, value in outputs.items():
        for number, line in enumerate(named(name, value)):
            if number == LINES_ON_A_TERMINAL and out.isatty():
                out.write(f"{margin}  … the rest is in {whole}\n")
                break
            out.write(f"{margin}{line}\n")
