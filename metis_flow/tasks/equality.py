"""When two JSON values are the same."""

from __future__ import annotations

import json
import unicodedata
from typing import Any


def equality_key(value: Any, *, loose: bool = False) -> str:
    """A text that is the same for equal JSON values: the order of keys does not matter, 1 is 1.0, true is not 1.

    Args:
        loose: whether texts count by their letters and digits alone, in any case.

    >>> equality_key({"a": 1.0, "b": "x"}) == equality_key({"b": "x", "a": 1})
    True
    """
    return json.dumps(_plain(value, loose), sort_keys=True)


def _plain(value: Any, loose: bool) -> Any:
    if isinstance(value, str) and loose:
        folded = unicodedata.normalize("NFKC", value).casefold()
        return "".join(letter for letter in folded if letter.isalnum()) or value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(part, loose) for part in value]
    return {key: _plain(part, loose) for key, part in value.items()} if isinstance(value, dict) else value
