"""What a docstring says: the text, each argument, the result, and the example."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field

_SECTION = re.compile(r"(Args|Returns|Raises|Example):\s*")
_ARGUMENT = re.compile(r"([A-Za-z_]\w*(?:, [A-Za-z_]\w*)*):\s*(.*)")


@dataclass(frozen=True)
class Docstring:
    """A docstring, taken apart.

    Attributes:
        text: all that stands before the sections.
        arguments: what is said of each argument.
        returns, raises: the sections' texts; "" where there is none.
        example: as it was written, moved to the left margin; "" where there is none.
    """

    text: str = ""
    arguments: dict[str, str] = field(default_factory=dict)
    returns: str = ""
    raises: str = ""
    example: str = ""


def read_docstring(doc: str) -> Docstring:
    """Takes a cleaned docstring with sections ``Args:``, ``Returns:``, ``Raises:`` and ``Example:`` apart."""
    sections: dict[str, list[str]] = {"": []}
    at = ""
    for line in doc.splitlines():
        title = _SECTION.fullmatch(line)
        if title is not None:
            at = title[1]
            sections[at] = []
        else:
            sections[at].append(line)
    texts = {name: textwrap.dedent("\n".join(lines)).strip("\n") for name, lines in sections.items()}
    return Docstring(
        texts[""],
        _arguments(texts.get("Args", "")),
        texts.get("Returns", ""),
        texts.get("Raises", ""),
        texts.get("Example", ""),
    )


def _arguments(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        begins = _ARGUMENT.fullmatch(line)
        if begins is not None:
            names = begins[1].split(", ")
            found.update(dict.fromkeys(names, begins[2]))
        else:
            found.update({name: f"{found[name]} {line.strip()}".strip() for name in names})
    return found
