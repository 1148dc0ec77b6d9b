"""Tasks that read and cut texts."""

from __future__ import annotations

from typing import Any, TypedDict

from metis_flow.tasks.registry import task


class Chunk(TypedDict):
    """A part of a text."""

    index: int
    start: int
    end: int
    tokens: int
    text: str


@task
def read_text(path: str) -> str:
    """The text of one file.

    By the name's ending:

    - ``.txt``, ``.md``, ``.rst``, ``.tex``: as it is. UTF-8, with or without a byte order mark.
    - ``.html``, ``.htm``: what a reader sees, a blank line between blocks; scripts, styles and the head are left out.
      UTF-8, or the charset that it declares.
    - ``.pdf``: the text of its pages, a blank line between two. It needs ``pip install 'metis-flow[pdf]'`` where the
      step runs.

    Args:
        path: the file.

    Raises:
        TaskFailed: there is no such file, its kind is not known, it is damaged or locked, or a PDF has pictures only.

    Example:
        uses: read_text
        with: {path: notes.html}
    """
    import re
    from html.parser import HTMLParser
    from pathlib import Path

    from metis_flow.errors import TaskFailed

    unseen = re.compile("script|style|head|template|noscript").fullmatch
    blocks = re.compile(
        "address|article|aside|blockquote|div|dl|figcaption|figure|footer|form|h[1-6]|header|hr|main|nav|ol|p|pre|"
        "section|table|ul"
    ).fullmatch
    lines = re.compile("br|li|tr|dt|dd").fullmatch
    cells = re.compile("td|th").fullmatch

    class Page(HTMLParser):
        def __init__(self) -> None:
            super().__init__(convert_charrefs=True)
            self.parts: list[str] = []
            self.unseen = 0
            self.kept = 0

        def handle_starttag(self, tag: str, attributes: Any) -> None:
            self.unseen += bool(unseen(tag))
            self.kept += tag == "pre"
            self.parts.append("\n\n" if blocks(tag) else "\n" if lines(tag) else "\t" if cells(tag) else "")

        def handle_endtag(self, tag: str) -> None:
            self.unseen = max(0, self.unseen - bool(unseen(tag)))
            self.kept = max(0, self.kept - (tag == "pre"))
            self.parts.append("\n\n" if blocks(tag) else "")

        def handle_data(self, data: str) -> None:
            if not self.unseen:
                # newlines of the source are blanks; those of <pre> are marked until the blanks are put together
                kept = data.replace("\n", "\x00").replace(" ", "\x01")
                self.parts.append(kept if self.kept else re.sub(r"\s+", " ", data))

    def seen(source: str) -> str:
        page = Page()
        page.feed(source)
        page.close()
        text = re.sub(" ?\t ?", "\t", re.sub(" {2,}", " ", "".join(page.parts)))
        text = re.sub(r"\n{3,}", "\n\n", re.sub("[ \t]*\n[ \t]*", "\n", text))
        text = re.sub("\n\x00|\x00\n", "\n", text)  # a newline at the edge of <pre> is not seen
        return text.strip("\n\t \x00").replace("\x00", "\n").replace("\x01", " ") + "\n"

    def decoded(raw: bytes) -> str:
        declared = re.search(rb"charset=[\"']?([\w-]+)", raw[:2048]) if kind in (".html", ".htm") else None
        for charset in ("utf-8-sig", *([declared[1].decode()] if declared else [])):
            try:
                return raw.decode(charset)
            except UnicodeDecodeError as problem:
                line = raw[: problem.start].count(b"\n") + 1
            except LookupError:
                pass
        raise TaskFailed("this is not UTF-8 text", where=f"{file}:{line}", hint="save it as UTF-8")

    def pages() -> str:
        try:
            from pypdf import PdfReader
            from pypdf.errors import PyPdfError
        except ImportError:
            raise TaskFailed(
                "reading a PDF needs pypdf, which is not installed here",
                where=str(file),
                hint="install it where the step runs: pip install 'metis-flow[pdf]'",
            ) from None
        try:
            reader = PdfReader(file)
            texts = [page.extract_text().strip() for page in reader.pages]
        except (PyPdfError, ValueError, KeyError, TypeError, RecursionError) as problem:
            locked = "it is locked with a password" if "decrypt" in str(problem).lower() else str(problem)
            raise TaskFailed(f"the PDF cannot be read: {locked}", where=str(file)) from None
        if not any(texts):
            raise TaskFailed(
                f"the PDF has no text on its {len(texts)} page{'' if len(texts) == 1 else 's'}",
                where=str(file),
                hint="its pages are pictures: run it through text recognition (OCR) first",
            )
        return "\n\n".join(texts) + "\n"

    file = Path(path)
    kind = file.suffix.lower()
    if not file.is_file():
        problem = "this is a folder" if file.is_dir() else "there is no such file"
        raise TaskFailed(
            problem, where=str(file), hint="read_rows reads a folder" if file.is_dir() else "check the path"
        )
    if kind == ".pdf":
        return pages()
    if kind in (".html", ".htm"):
        return seen(decoded(file.read_bytes()))
    if kind in (".txt", ".md", ".rst", ".tex"):
        return decoded(file.read_bytes())
    known = ".txt, .md, .rst, .tex, .html, .htm, .pdf"
    raise TaskFailed(f"text cannot be read from a '{kind}' file", where=str(file), hint=f"the name ends in {known}")


@task
def chunk_text(text: str, tokens: int = 1000, overlap: int = 0) -> list[Chunk]:
    """Cuts a text into parts of at most so many tokens, between paragraphs where it can be.

    Where a paragraph is too long it is cut between lines, then sentences, then words. Tokens are estimated without a
    tokenizer, by words and signs; leave a fifth of a model's context free for the error of that.

    Args:
        text: the text.
        tokens: at most in a part, at least 20.
        overlap: tokens at the end of a part that the next one begins with, at most half of ``tokens``.

    Returns:
        The parts in order: ``{index, start, end, tokens, text}``, where ``text`` is that from character ``start`` to
        ``end``. Without overlap the parts put together are the whole text. No parts for an empty text.

    Raises:
        TaskFailed: ``tokens`` or ``overlap`` is out of bounds.

    Example:
        uses: chunk_text
        with: {text: "One.\\n\\nTwo.", tokens: 20}
        gives: [{index: 0, start: 0, end: 10, tokens: 5, text: "One.\\n\\nTwo."}]
    """
    from metis_flow.errors import TaskFailed
    from metis_flow.tasks.tokens import count_tokens, cut_text

    if tokens < 20:
        raise TaskFailed(f"'tokens' is {tokens}, and should be at least 20", hint="some thousand suit most models")
    if not 0 <= overlap <= tokens // 2:
        raise TaskFailed(f"'overlap' is {overlap}, and should be 0 to half of 'tokens' ({tokens // 2})")
    return [
        {"index": index, "start": start, "end": end, "tokens": count_tokens(text[start:end]), "text": text[start:end]}
        for index, (start, end) in enumerate(cut_text(text, tokens, overlap))
    ]


@task
def join_text(texts: list[str], separator: str = "\n\n") -> str:
    """Texts put together in order.

    Args:
        texts: the texts.
        separator: what stands between two of them.

    Raises:
        TaskFailed: one of them is no text.

    Example:
        uses: join_text
        with: {texts: [one, two], separator: ", "}
        gives: one, two
    """
    from metis_flow.errors import TaskFailed

    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TaskFailed(
                f"texts[{number}] is no text but {text!r:.60}",
                hint="take the field that holds the text, such as steps.x.outputs | map(attribute='summary') | list",
            )
    return separator.join(texts)
