"""The examples with several levels and with a matrix, against answers by a rule."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from metis_flow.tasks import load_function
from metis_flow.testing import Asked, answers

WORKFLOWS = Path(__file__).parents[2] / "workflows"

listed = load_function("two_levels_samples:listed", WORKFLOWS)
table = load_function("grid_table:table", WORKFLOWS)


def technician(asked: Asked) -> dict[str, Any]:
    """Finds every sample on a page, and decides by a word that stands in its sentence."""
    wanted = re.search(r"sample (\w+)\?", asked.user)
    if wanted is None:
        return {"samples": [*re.findall(r"\b[A-Z][0-9]\b", asked.user), "Z9"][:3]}
    sentence = next(part for part in re.split(r"[.;] ", asked.user) if wanted[1] in part)
    words = {"crack": "throw away", "pieces": "throw away", "saturated": "measure again"}
    return {"decision": next((decision for word, decision in words.items() if word in sentence), "keep")}


def test_two_levels_and_a_sheet() -> None:
    with answers(technician) as model:
        run = model.run(WORKFLOWS / "two_levels.yaml")
        assert run.status == "done"
        assert run.outputs == {
            "sheet": [
                "monday: A1: keep",
                "monday: A2: throw away",
                "tuesday: B1: keep",
                "tuesday: B2: measure again",
                "wednesday: C1: throw away",
            ],
            "counts": {"keep": 2, "throw away": 2, "measure again": 1},
        }
        assert [row["key"] for row in run.rows("find")] == ["monday", "tuesday", "wednesday"]
        assert len(model.calls) == 3 + 5


def test_a_page_that_fails_leaves_the_others() -> None:
    def rule(asked: Asked) -> Any:
        return "no list" if "sample" not in asked.user and "Powder" in asked.user else technician(asked)

    with answers(rule) as model:
        run = model.run(WORKFLOWS / "two_levels.yaml")
        assert run.status == "done"
        assert [line.split(": ")[1] for line in run.outputs["sheet"]] == ["A1", "A2", "C1"]


def test_a_limit_cuts_both_levels() -> None:
    with answers(technician) as model:
        run = model.run(WORKFLOWS / "two_levels.yaml", limit=1)
        assert run.outputs == {"sheet": ["monday: A1: keep"], "counts": {"keep": 1}}
        assert len(model.calls) == 2


def test_samples_that_are_on_no_page_and_those_named_twice() -> None:
    pages = [{"key": "p", "output": "Film A1 is fine."}, {"key": "q", "output": "Nothing."}]
    found = [{"key": "p", "output": {"samples": ["A1", "A1", "A2"]}}, {"key": "q", "output": None}]
    assert listed(pages=pages, found=found) == [{"page": "p", "name": "A1", "text": "Film A1 is fine."}]


def test_thirty_samples_and_a_vote() -> None:
    def rule(asked: Asked) -> dict[str, str]:
        hot, seed = asked.settings["temperature"] == 1, asked.settings["seed"]
        wrong = asked.model.startswith("gpt") and hot and seed > 3
        return {"gap": "indirect" if wrong else "direct"}

    with answers(rule) as model:
        run = model.run(WORKFLOWS / "grid.yaml")
        assert run.status == "done"
        assert (run.outputs["answer"], run.outputs["share"]) == ("direct", round(28 / 30, 4))
        assert [tuple(row.values()) for row in run.outputs["table"]] == [
            ("model=gpt-oss-120b-131072,temperature=0", "direct", 1.0, 5),
            ("model=gpt-oss-120b-131072,temperature=0.5", "direct", 1.0, 5),
            ("model=gpt-oss-120b-131072,temperature=1", "direct", 0.6, 5),
            ("model=DeepSeek-R1-0528,temperature=0", "direct", 1.0, 5),
            ("model=DeepSeek-R1-0528,temperature=0.5", "direct", 1.0, 5),
            ("model=DeepSeek-R1-0528,temperature=1", "direct", 1.0, 5),
        ]
        asked = {(call.model, call.settings["temperature"], call.settings["seed"]) for call in model.calls}
        assert len(asked) == len(model.calls) == 30
        assert {seed for _, _, seed in asked} == {1, 2, 3, 4, 5}


def test_a_setting_without_an_answer() -> None:
    rows = [{"key": "t=0,repeat=0", "output": None}, {"key": "t=1,repeat=0", "output": {"gap": "direct"}}]
    assert table(results=rows, field="gap") == [
        {"setting": "t=0", "answer": None, "share": None, "of": 0},
        {"setting": "t=1", "answer": "direct", "share": 1.0, "of": 1},
    ]


def test_another_grid() -> None:
    with answers(lambda asked: {"gap": "indirect"}) as model:
        params = {"material": "silicon", "samples": 2, "models": ["one"], "temperatures": [0.2]}
        run = model.run(WORKFLOWS / "grid.yaml", params)
        assert [tuple(row.values()) for row in run.outputs["table"]] == [
            ("model=one,temperature=0.2", "indirect", 1.0, 2)
        ]
        assert {call.user for call in model.calls} == {"Is the band gap of silicon direct or indirect?"}
