"""Text from data, models and files, made harmless for a terminal."""

from __future__ import annotations

import re

# Controls (with the escape that begins a terminal's commands), marks that turn the direction of text, characters that
# cannot be seen, separators of lines, lone surrogates. The two joiners stay: scripts and emoji need them.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)


def safe(text: object) -> str:
    """The text with everything that a terminal would obey, or not show, written out; newlines and tabs stay.

    >>> safe("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return _HARMFUL.sub(_written_out, str(text).replace("\r\n", "\n"))


def one_line(text: object, width: int | None = None) -> str:
    """Safe text without newlines and tabs, cut to so many characters.

    >>> one_line("two\\nlines, the second long", 12)
    'two lines, …'
    """
    line = " ".join(safe(text).split())
    return line if width is None or len(line) <= width else line[: width - 1] + "…"


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
