"""Markdown that a model wrote, as HTML that can do nothing: no tags of its own, no pictures, links to the web only."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from metis_flow.views.safe_text import safe

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

MARKDOWN_AT_MOST = 50_000
"""Characters; a longer text is shown as it is."""

_SIGNS = re.compile(r"^(#{1,6} |[-*+] \S|\d+\. \S|```|> |\|.+\|\s*$)|\*\*\S|`[^`\n]+`|\]\(", re.MULTILINE)
_WEB = re.compile(r"(https?://|mailto:)", re.IGNORECASE)


def looks_like_markdown(text: str) -> bool:
    """Whether a text has signs of Markdown in more than one place."""
    return len(text) <= MARKDOWN_AT_MOST and sum(1 for _ in _SIGNS.finditer(text[:5000])) > 1


def markdown_html(text: str) -> str:
    """The HTML of a text: what is HTML in it is shown as text, a picture as its words."""
    return str(_parser().render(safe(text)))


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    parser.validateLink = lambda url: _WEB.match(url) is not None  # type: ignore[method-assign]
    parser.add_render_rule("link_open", _open_link)
    parser.add_render_rule("heading_open", _heading)  # below the headings of the page
    parser.add_render_rule("heading_close", _heading)
    return parser


def _open_link(self: Any, tokens: Any, place: int, options: Any, env: Any) -> str:
    tokens[place].attrSet("rel", "noopener noreferrer nofollow")
    return str(self.renderToken(tokens, place, options, env))


def _heading(self: Any, tokens: Any, place: int, options: Any, env: Any) -> str:
    tokens[place].tag = "h4"
    return str(self.renderToken(tokens, place, options, env))
