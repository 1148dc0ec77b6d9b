"""The examples that call another workflow, against answers by a rule."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

from metis_flow.testing import Asked, answers

WORKFLOWS = Path(__file__).parents[2] / "workflows"
DRAFTS = ["Water.", "Lakes freeze.", "Ice floats, as cold water rises.", "Not asked for."]


def author(asked: Asked) -> dict[str, Any]:
    """Writes the next draft after the one that it is shown; the reviewer wants three more words each time."""
    if asked.system is None:
        before = [number for number, draft in enumerate(DRAFTS) if draft in asked.user]
        return {"sentence": DRAFTS[before[0] + 1 if before else 0]}
    number = next(number for number, draft in enumerate(DRAFTS) if draft in asked.user)
    return {"advice": f"Advice {number}.", "score": number + 1}


def test_a_text_is_written_again_until_the_reviewer_is_content() -> None:
    with answers(author) as model:
        run = model.run(WORKFLOWS / "refine.yaml", {"enough": 2})
        assert run.status == "done"
        assert run.outputs == {"text": "Lakes freeze.", "score": 2}
        written = [call for call in model.calls if call.system is None]
        assert len(model.calls) == 4
        assert "You wrote before" not in written[0].user
        assert "Water." in written[1].user
        assert "Advice 0." in written[1].user


def test_the_third_round_is_taken_as_it_is() -> None:
    with answers(author) as model:
        run = model.run(WORKFLOWS / "refine.yaml", {"enough": 5})
        assert run.status == "done"
        assert run.outputs == {"text": DRAFTS[2], "score": 3}
        assert len(model.calls) == 6


def test_a_round_on_its_own() -> None:
    with answers(author) as model:
        run = model.run(WORKFLOWS / "parts" / "write_and_review.yaml", {"finding": "Ice floats."})
        assert run.outputs == {"text": "Water.", "score": 1, "advice": "Advice 0."}


def reader(asked: Asked) -> dict[str, Any]:
    """Reads the kelvin out of an abstract, and quotes the sentence with it; of garnets it makes one up."""
    abstract = next(message["content"] for message in asked.messages if "kelvin" in message["content"])
    (kelvin,) = re.findall(r"(\d+) kelvin", abstract)
    if "Which sentence" not in asked.user:
        kind = "superconducting" if "superconducting" in abstract else "structural"
        return {"material": "oxide" if "air" in abstract else "film", "kind": kind, "kelvin": int(kelvin)}
    assert [message["role"] for message in asked.messages] == ["system", "user", "assistant", "user"]
    if "garnet" in abstract:
        return {"sentence": "It was warm."}
    return {"sentence": next(part for part in re.findall(r"[A-Z][^.]*\.", abstract) if kelvin in part)}


def test_a_survey_of_three_papers() -> None:
    with answers(reader) as model:
        run = model.run(WORKFLOWS / "survey.yaml")
        assert run.status == "done"
        assert [(row["kelvin"], row["quoted"]) for row in run.outputs["table"]] == [
            (15, True),
            (560, False),
            (393, True),
        ]
        assert run.outputs["table"][0]["sentence"] == "The films become superconducting at 15 kelvin."
        assert (run.outputs["quoted"], run.outputs["missing"]) == (2, [])
        with (run.folder.path / "outputs" / "transitions.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["kind"] for row in rows] == ["superconducting", "structural", "structural"]
        assert len(model.calls) == 6


def test_a_paper_that_fails_is_missing_in_the_table() -> None:
    def rule(asked: Asked) -> Any:
        return "no idea" if "garnet" in asked.messages[1]["content"] else reader(asked)

    with answers(rule) as model:
        run = model.run(WORKFLOWS / "survey.yaml")
        assert run.status == "done"
        assert run.outputs["missing"] == ["garnet"]
        assert [row["kelvin"] for row in run.outputs["table"]] == [15, 393]
