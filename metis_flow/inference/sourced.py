"""Endpoint files of the older kind: shell files that are sourced, such as ``metis_endpoint_1.txt``."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from metis_flow.errors import ConfigError

BASE_URL = "BASE_URL"
KEY = "SAMBANOVA_API_KEY"
MODELS = "MODELS"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_assignments(path: Path) -> dict[str, str]:
    """The variables that a shell file assigns, read without running it.

    Only lines ``NAME=value`` or ``export NAME=value`` are understood; other lines, and words with ``$`` or a
    backquote (which a shell would expand), are left out.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file cannot be read: {error}", where=str(path)) from None
    found: dict[str, str] = {}
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        for word in words[1:] if words[:1] == ["export"] else words[:1]:
            name, equals, value = word.partition("=")
            if equals and _NAME.fullmatch(name) and "$" not in value and "`" not in value:
                found[name] = value
    return found
