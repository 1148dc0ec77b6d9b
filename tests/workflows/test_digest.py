"""The digest: parts of documents are summarised, and the summaries put together."""

from __future__ import annotations

from pathlib import Path

import pytest

from metis_flow.tasks import load_function
from metis_flow.testing import Asked, answers

WORKFLOWS = Path(__file__).parents[2] / "workflows"
NOTES = ["chromatography.md", "diffraction.md", "thermocouples.md"]

parts = load_function("digest_page:parts", WORKFLOWS)
page = load_function("digest_page:page", WORKFLOWS)


def title(asked: Asked) -> str | dict[str, str]:
    """Answers with the first heading in the prompt, or the number of headings."""
    headings = [line.lstrip("# ") for line in asked.user.splitlines() if line.startswith("#")]
    return {"sentence": f"{len(headings)} notes."} if asked.schema else f"About {headings[0]}."


def test_the_notes_are_mapped_and_reduced() -> None:
    with answers(title) as model:
        run = model.run(WORKFLOWS / "digest.yaml")
        assert run.status == "done"
        assert [row["key"] for row in run.rows("summarise")] == NOTES
        assert run.outputs["page"] == (
            "## chromatography.md\n\nAbout Liquid chromatography.\n\n"
            "## diffraction.md\n\nAbout X-ray diffraction.\n\n"
            "## thermocouples.md\n\nAbout Thermocouples.\n"
        )
        assert (run.outputs["overall"], run.outputs["missing"]) == ("3 notes.", [])
        assert Path(run.outputs["file"]).read_text() == run.outputs["page"]
        assert len(model.calls) == 4


def test_long_documents_are_cut_and_a_part_that_fails_is_named() -> None:
    def rule(asked: Asked) -> str | dict[str, str]:
        if asked.schema:
            return {"sentence": "All."}
        return "" if "Scherrer" in asked.user else "Short."

    with answers(rule) as model:
        run = model.run(WORKFLOWS / "digest.yaml", {"tokens": 120})
        keys = [row["key"] for row in run.rows("summarise")]
        assert len(keys) > 6
        assert keys[:2] == ["chromatography.md 1", "chromatography.md 2"]
        missing = run.outputs["missing"]
        assert missing
        assert all(name.startswith("diffraction.md ") for name in missing)
        assert run.outputs["page"].count("Short.") == len(keys) - len(missing)


def test_parts_without_a_text_are_left_out() -> None:
    cut = [{"key": "a", "output": [{"text": " \n"}, {"text": "x"}]}, {"key": "b", "output": None}]
    assert parts(cut=cut) == [{"document": "a", "name": "a", "text": "x"}]
    assert page(summaries=[{"key": "a", "output": "x\n y"}, {"key": "b", "output": None}]) == {
        "text": "## a\n\nx y\n",
        "missing": ["b"],
    }


def test_the_embedded_model_writes_a_digest(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    from metis_flow import Workflow

    (tmp_path / "ice.md").write_text("Ice melts at 0 degrees Celsius. Salt lowers that.\n")
    params = {"documents": str(tmp_path), "words": 10}
    run = Workflow.load(WORKFLOWS / "digest.yaml").run(params, endpoint="embedded", runs_dir=tmp_path / "runs")
    assert run.status == "done"
    assert run.outputs["page"].startswith("## ice.md\n\n")
    assert run.outputs["overall"]
