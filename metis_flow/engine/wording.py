"""Values as text: for a message, a file, an argument or a variable."""

from __future__ import annotations

import json
from typing import Any

from metis_flow.engine.scope import plain
from metis_flow.errors import ExpressionFailed, StepFailed
from metis_flow.workflow.values import FileRef

MAX_ARGUMENT_BYTES = 128 * 1024


def message_text(value: Any, role: str) -> str:
    """The text of a message.

    Raises:
        ExpressionFailed: the value is a list, an object or null.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise ExpressionFailed(
        f"the {role} message is a list, an object or null", hint="say how: json(x), lines(x) or join(x, ', ')"
    )


def file_text(value: Any) -> str:
    """What a file or standard input gets: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return str(value)
    return json.dumps(plain(value), ensure_ascii=False, indent=1) + "\n"


def argument_text(value: Any, place: str) -> str:
    """A value for an environment variable or an argument.

    Raises:
        ExpressionFailed: it is a list or an object.
        StepFailed: the system takes no such text there.
    """
    if value is None:
        text = ""
    elif isinstance(value, str | FileRef):
        text = str(value)
    elif isinstance(value, bool | int | float):
        text = json.dumps(value)
    else:
        hint = "say how: json(x), lines(x) or join(x, ', '); or pass it by 'stdin' or 'files'"
        raise ExpressionFailed(f"'{place}' is a list or an object", hint=hint)
    if "\x00" in text:
        raise StepFailed(f"'{place}' holds a NUL character", hint="pass it by 'stdin' or 'files'")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        problem = f"'{place}' holds half a character (a lone surrogate)"
        raise StepFailed(problem, hint="pass it by 'stdin' or 'files'") from None
    if size > MAX_ARGUMENT_BYTES:
        raise StepFailed(f"'{place}' is longer than 128 KiB", hint="pass it by 'stdin' or 'files'")
    return text
