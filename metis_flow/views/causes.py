"""What errors have in common, once it is left out which item they were about."""

from __future__ import annotations

import re

LONGEST = 2000
"""Characters of a summary that count; a script or a model may have written the rest."""

LEFT_OUT = "…"

# How a validator says what is wrong with a value, which stands before these words.
_COMPLAINTS = (
    "is not of type",
    "is not one of",
    "is not valid under",
    "is not a",
    "does not match",
    "does not contain",
    "does not have enough",
    "is too long",
    "is too short",
    "is less than",
    "is greater than",
    "has non-unique",
    "has too many",
    "was expected",
)
_COMPLAINT = re.compile(rf" (?:{'|'.join(_COMPLAINTS)})\b")
_PLACE = re.compile(r"\bat '[^']*': ")
_COLON = re.compile(": ")
_ADDRESS = re.compile(r"\b[a-z][a-z0-9_]*@[^\s:;,'\"]+")
_PATH = re.compile(r"(?:~|\.{1,2}|[\w.+-]+)?(?:/[\w.@%+~-]+)+/?")
_HEX = re.compile(r"\b(?:0x[0-9a-f]+|(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,})\b")
# The number of an exit code or of an answer by HTTP is the cause itself.
_NUMBER = re.compile(r"(?<!code )(?<!signal )(?<!HTTP )(?<!status )(?<!\d)\d[\d,_]*(?:\.\d+)?(?:[eE][-+]?\d+)?")


def cause_of(summary: str) -> str:
    """A summary without values, addresses, paths and numbers: equal for instances that failed in the same way.

    >>> cause_of("'relax/out-17.json' is larger than 16 MiB")
    "'…' is larger than … MiB"
    >>> cause_of("at 'rows.3.gap': 'high' is not of type 'number'")
    "at 'rows.….gap': … is not of type 'number'"
    """
    text = _without_value(summary[:LONGEST])
    for pattern in (_ADDRESS, _PATH, _HEX, _NUMBER):
        text = pattern.sub(LEFT_OUT, text)
    return text


def _without_value(text: str) -> str:
    """Leave out the value that a validator complains of; it stands after its place, and may hold anything."""
    complaint = _COMPLAINT.search(text)
    if complaint is None:
        return text
    before = text[: complaint.start()]
    place = _PLACE.search(before) or _COLON.search(before)
    return before[: place.end() if place else 0] + LEFT_OUT + text[complaint.start() :]
