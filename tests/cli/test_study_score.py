"""The scores of the study that `init` makes."""

from __future__ import annotations

from metis_flow.cli.workflow.init import STUDY
from metis_flow.tasks.load import load_function


def test_scores_are_of_what_was_asked() -> None:
    score = load_function("moons_score:score", STUDY)
    truth = [{"moon": "titan", "planet": "Saturn"}, {"moon": "triton", "planet": "Neptune"}]
    right = {"key": "titan", "status": "done", "output": {"planet": "Saturn"}, "error": None}
    wrong = {"key": "triton", "status": "done", "output": {"planet": "Mars"}, "error": None}
    failed = {"key": "triton", "status": "failed", "output": None, "error": {}}
    assert score(truth, [right]) == {"asked": 1, "right": 1, "mistakes": []}
    assert score(truth, [right, wrong])["mistakes"] == [{"moon": "triton", "answer": "Mars", "truth": "Neptune"}]
    assert score(truth, [failed]) == {
        "asked": 1,
        "right": 0,
        "mistakes": [{"moon": "triton", "answer": None, "truth": "Neptune"}],
    }
