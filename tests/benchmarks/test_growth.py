"""The benchmark of many items: what it makes of its measurements."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import yaml

from benchmarks.growth import Measured, picture, rows_of, write_study
from benchmarks.records import Asked
from metis_flow import Workflow

FOUND = [
    Measured(1_000, Asked(seconds=4.0, cpu=3.0, megabytes=130.0, out="")),
    Measured(10_000, Asked(seconds=14.0, cpu=12.0, megabytes=140.0, out="")),
]


def test_bytes_are_counted_from_the_smallest_run_on() -> None:
    assert rows_of(FOUND) == [
        ("a run", 1_000, 4.0, 4.0, 3.0, 130.0, None),
        ("a run", 10_000, 14.0, 1.4, 1.2, 140.0, 1165),
    ]


def test_the_picture_holds_every_figure() -> None:
    root = ElementTree.fromstring(picture(FOUND))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"peak MB of the driver", "ms an item", "1,000", "10,000", "130", "140", "4", "1.4"} <= set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 4


def test_its_workflow_is_one(tmp_path: Path) -> None:
    plan = Workflow.load(write_study(tmp_path, 3)).plan()
    assert list(plan.steps) == ["load", "ask", "save"]
    rows = [yaml.safe_load(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == ["paper-0", "paper-1", "paper-2"]
