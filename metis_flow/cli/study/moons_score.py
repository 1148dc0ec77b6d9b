"""Scores the answers of moons.yaml."""

from __future__ import annotations

from typing import Any


def score(truth: list[dict[str, Any]], results: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts right answers.

    Args:
        truth: a row for each moon: moon, planet.
        results: how each moon's question ended: key, status, output (with planet), error.
    """
    planets = {row["moon"]: row["planet"] for row in truth}
    mistakes = []
    for result in results:
        answer = (result["output"] or {}).get("planet")
        if answer != planets[result["key"]]:
            mistakes.append({"moon": result["key"], "answer": answer, "truth": planets[result["key"]]})
    return {"asked": len(results), "right": len(results) - len(mistakes), "mistakes": mistakes}
