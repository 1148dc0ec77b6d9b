"""The outputs of a run, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from metis_flow.views.conversation import shortened_line
from metis_flow.views.values import named

LINES_ON_A_TERMINAL = 40


def print_outputs(outputs: Mapping[str, Any], out: TextIO, *, whole: str, indent: int = 0) -> None:
    """Each output by its name. On a terminal a long one is cut, and the rest is where ``whole`` says."""
    margin = " " * indent
    cut = out.isatty()
    for name, value in outputs.items():
        too_long = False
        for number, line in enumerate(named(name, value)):
            shown = shortened_line(line) if cut else line
            too_long = too_long or shown != line
            if cut and number == LINES_ON_A_TERMINAL:
                too_long = True
                break
            out.write(f"{margin}{shown}\n")
        if too_long:
            out.write(f"{margin}  … the rest is in {whole}\n")
