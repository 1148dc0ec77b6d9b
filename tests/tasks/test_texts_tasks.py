"""The tasks that read and cut texts, and the estimate of tokens."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_flow.errors import TaskFailed
from metis_flow.tasks import chunk_text, join_text, read_text
from metis_flow.tasks.tokens import count_tokens, cut_text

PAGE = """<!doctype html>
<html><head><title>not seen</title><style>p { color: red }</style></head>
<body><!-- neither -->
<h1>Band&nbsp;gaps</h1>
<p>Silicon has
   1.12&thinsp;eV &amp; a <b>dia</b>mond lattice.<br>A second line.</p>
<script>var x = "<p>no</p>";</script>
<ul><li>one</li><li>two <i>2</i></li></ul>
<table><tr><th>material</th><th>gap</th></tr><tr><td>GaN</td><td>3.4</td></tr></table>
<pre>
  code
    kept
</pre>
The end</body></html>
"""
SEEN = """Band gaps

Silicon has 1.12 eV & a diamond lattice.
A second line.

one
two 2

material\tgap
GaN\t3.4

  code
    kept

The end
"""


def test_html_as_a_reader_sees_it(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE)
    assert read_text(str(tmp_path / "a.html")) == SEEN


@pytest.mark.parametrize(
    ("name", "raw", "text"),
    [
        ("a.txt", "\ufeffµ\r\n".encode(), "µ\r\n"),
        ("a.MD", b"# A\n", "# A\n"),
        ("a.tex", b"\\alpha", "\\alpha"),
        ("a.htm", b"<meta charset='latin-1'><p>\xb5m", "µm\n"),
        ("b.html", b"<p>unclosed <b>and <li>more", "unclosed and\nmore\n"),
        ("c.html", b"a &lt;b&gt; &#228; &unknown;", "a <b> ä &unknown;\n"),
    ],
)
def test_read_text(tmp_path: Path, name: str, raw: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(raw)
    assert read_text(str(tmp_path / name)) == text


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("a.txt", b"one\n\xff", ":2: this is not UTF-8 text\n  hint: save it as UTF-8"),
        ("a.html", b"<meta charset=nonsense>\n\xff", ":2: this is not UTF-8 text\n  hint: save it as UTF-8"),
        ("a.docx", b"", ": text cannot be read from a '.docx' file\n  hint: the name ends in .txt, .md, .rst, .tex, "),
        ("gone.txt", None, ": there is no such file\n  hint: check the path"),
        ("folder", "dir", ": this is a folder\n  hint: read_rows reads a folder"),
        ("a.pdf", b"no pdf at all", ": the PDF cannot be read: "),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_texts_that_cannot_be_read(tmp_path: Path, name: str, raw: bytes | str | None, message: str) -> None:
    path = tmp_path / name
    if raw == "dir":
        path.mkdir()
    elif isinstance(raw, bytes):
        path.write_bytes(raw)
    with pytest.raises(TaskFailed) as caught:
        read_text(str(path))
    assert caught.value.render().startswith(f"{path}{message}")


def pdf(*pages: str) -> bytes:
    """A PDF with a line of text on each page; an empty one for a page without."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        content = f"/Contents {5 + 2 * number} 0 R"
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {resources} {content} >>")
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    body, offsets = "%PDF-1.4\n", []
    for number, text in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    start = len(body)
    body += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    body += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    return body.encode()


def test_the_text_of_a_pdf(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    path = tmp_path / "paper.pdf"
    path.write_bytes(pdf("The gap of GaN", "is 3.4 eV."))
    assert read_text(str(path)) == "The gap of GaN\n\nis 3.4 eV.\n"
    path.write_bytes(pdf("", ""))
    with pytest.raises(TaskFailed) as caught:
        read_text(str(path))
    assert caught.value.render() == (
        f"{path}: the PDF has no text on its 2 pages\n"
        "  hint: its pages are pictures: run it through text recognition (OCR) first"
    )


def test_a_locked_pdf(tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    (tmp_path / "open.pdf").write_bytes(pdf("secret"))
    writer = pypdf.PdfWriter(clone_from=tmp_path / "open.pdf")
    writer.encrypt("word", algorithm="RC4-128")
    writer.write(tmp_path / "locked.pdf")
    with pytest.raises(TaskFailed, match=r"the PDF cannot be read: it is locked with a password$"):
        read_text(str(tmp_path / "locked.pdf"))


def test_without_pypdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "paper.pdf").write_bytes(pdf("x"))
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(TaskFailed) as caught:
        read_text(str(tmp_path / "paper.pdf"))
    assert caught.value.summary == "reading a PDF needs pypdf, which is not installed here"
    assert caught.value.hint == "install it where the step runs: pip install 'metis-flow[pdf]'"


# -- tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("silicon", 2),
        ("the gap is 1.12 eV", 8),
        ("one\n\n\ntwo", 3),
        ("   ", 0),
        ("Größe", 2),
        ("硅的", 4),
        ("µm²", 1),
    ],
)
def test_count_tokens(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


def test_chunks_end_where_a_reader_would_stop() -> None:
    paragraphs = ["One has five words here.", "Two has a sentence. And another one, which is long.", "Three."]
    text = "\n\n".join(paragraphs)
    assert [chunk["text"] for chunk in chunk_text(text, tokens=20)] == [
        paragraphs[0] + "\n\n",
        "\n\n".join(paragraphs[1:]),
    ]
    sentences = [chunk["text"] for chunk in chunk_text("First one is here. " * 12, tokens=20)]
    assert set(sentences) == {"First one is here. " * 4}
    words = [chunk["text"] for chunk in chunk_text("word " * 50, tokens=20)]
    assert words == ["word " * 20, "word " * 20, "word " * 10]
    assert {len(chunk["text"]) for chunk in chunk_text("x" * 600, tokens=20)} <= {6 * 20, 108, 114, 120}


def test_chunks_that_overlap() -> None:
    text = "".join(f"w{number} " for number in range(60))
    chunks = chunk_text(text, tokens=40, overlap=8)
    assert all(chunk["tokens"] <= 40 for chunk in chunks)
    for before, after in pairwise(chunks):
        shared = text[after["start"] : before["end"]]
        assert 0 < count_tokens(shared) <= 8
        assert before["text"].endswith(shared)
        assert after["text"].startswith(shared)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 19}, "'tokens' is 19, and should be at least 20"),
        ({"tokens": 40, "overlap": 21}, "'overlap' is 21, and should be 0 to half of 'tokens' (20)"),
        ({"overlap": -1}, "'overlap' is -1, and should be 0 to half of 'tokens' (500)"),
    ],
)
def test_chunks_that_cannot_be(options: dict[str, int], message: str) -> None:
    with pytest.raises(TaskFailed) as caught:
        chunk_text("a", **options)
    assert caught.value.summary == message


TEXTS = st.text(st.sampled_from("aB1 .!?\n\té硅。-"), max_size=200) | st.text(max_size=100)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.integers(6, 30), st.integers(0, 10))
def test_parts_are_the_whole_text_and_none_is_too_large(text: str, tokens: int, overlap: int) -> None:
    parts = cut_text(text, tokens)
    assert "".join(text[start:end] for start, end in parts) == text
    assert all(count_tokens(text[start:end]) <= tokens for start, end in parts)
    overlapping = cut_text(text, tokens, min(overlap, tokens // 2))
    assert all(count_tokens(text[start:end]) <= tokens for start, end in overlapping)
    assert [end for _, end in overlapping][-1:] == ([len(text)] if text else [])


def test_join_text() -> None:
    assert join_text(texts=["a", "b"]) == "a\n\nb"
    assert join_text(texts=["a", "b"], separator=", ") == "a, b"
    assert join_text(texts=[]) == ""
    with pytest.raises(TaskFailed, match=r"^texts\[1\] is no text but \{'a': 1\}$"):
        join_text(texts=["a", {"a": 1}])  # type: ignore[list-item]
