"""``metis-flow report`` and ``metis-flow graph --svg``: the files that they write, and what they say."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from cli_kit import Cli, Here

SMALL = """\
version: 1
name: small
params: {names: {type: array, default: [a, b]}}
steps:
  each:
    foreach: ${{ params.names }}
    run: echo "$1"
    args: ["${{ item }}"]
outputs: {all: "${{ steps.each.outputs }}"}
"""


@pytest.fixture
def ran(here: Here, cli: Cli) -> str:
    """The id of a run in the current folder."""
    cli.write("small.yaml", SMALL)
    ended = cli("run", "small.yaml", "--json")
    return str(ended.document["run"])


def test_the_report_is_named_for_the_run(here: Here, cli: Cli, ran: str) -> None:
    ended = here("report", "last")
    page = cli.folder / f"{ran}.html"
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"{ran}.html ({page.stat().st_size / 1000:.1f} kB)\n"
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "All went well: 2 instances of 1 step." in text


def test_the_report_goes_where_it_is_told(here: Here, cli: Cli, ran: str) -> None:
    path = cli.folder / "x" / "page.html"
    path.parent.mkdir()
    document = here("report", ran, "-o", path, "--json").document
    assert document == {"run": ran, "report": str(path), "bytes": path.stat().st_size}


def test_a_report_of_nothing(here: Here) -> None:
    ended = here("report", "last")
    assert ended.code == 2
    assert "there is no run in runs" in ended.err


def test_a_report_that_cannot_be_written(here: Here, ran: str) -> None:
    ended = here("report", ran, "-o", "not/there.html")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "not/there.html: the report cannot be written: No such file or directory\n"
        "  hint: name a file in a folder that is there and can be written: -o FILE\n"
    )


def test_the_graph_as_a_picture(here: Here, cli: Cli) -> None:
    cli.write("small.yaml", SMALL)
    ended = here("graph", "small.yaml", "--svg", "graph.svg")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    root = ET.fromstring((cli.folder / "graph.svg").read_text(encoding="utf-8"))
    assert [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")] == ["each", "run", "for each item"]
    assert here("graph", "small.yaml", "--svg", "not/there.svg").code == 2


def test_the_same_run_gives_the_same_report(here: Here, cli: Cli, ran: str) -> None:
    pages = []
    for name in ("one.html", "two.html"):
        assert here("report", ran, "-o", name).code == 0
        pages.append((cli.folder / name).read_bytes())
    assert pages[0] == pages[1]
    assert json.loads(pages[0].decode().partition('id="meta">')[2].partition("</script>")[0])["run"] == ran
