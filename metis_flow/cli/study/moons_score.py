"""Scores the answers of moons.yaml."""

from __future__ import annotations

from typing import Any


def score(truth: list[dict[str, Any]], results: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts right answers.

    Args:
        truth: a row for each moon: moon, planet.
        results: how each moon's question ended: key, status, output (with planet), error.
    """
    answers = {result["key"]: (result["output"] or {}).get("planet") for result in results}
    mistakes = [
        {"moon": row["moon"], "answer": answers[row["moon"]], "truth": row["planet"]}
        for row in truth
        if answers[row["moon"]] != row["planet"]
    ]
    return {"asked": len(truth), "right": len(truth) - len(mistakes), "mistakes": mistakes}
