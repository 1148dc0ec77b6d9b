"""Tasks that score answers."""

from __future__ import annotations

from typing import Any, TypedDict

from metis_flow.tasks.registry import task


class ColumnScore(TypedDict):
    """How well one column was answered."""

    column: str
    asked: int
    answered: int
    correct: int
    accuracy: float
    baseline: float
    mean_error: float | None


class Wrong(TypedDict):
    """One wrong cell."""

    key: str
    column: str
    expected: Any
    given: Any


class Scores(TypedDict):
    """Answers scored against a table of true values."""

    accuracy: float
    baseline: float
    rows: int
    answered: int
    columns: list[ColumnScore]
    wrong: list[Wrong]


@task
def score_table(
    answers: list[Any],
    truth: list[Any],
    key: str,
    columns: list[str] | None = None,
    tolerance: float = 0.0,
    loose: bool = False,
) -> Scores:
    """Scores answers, cell by cell, against a table of true values.

    A true value of null is not asked about. A row without a valid answer counts as wrong in every column. Numbers are
    right within the tolerance, other values where they are equal.

    Args:
        answers: the results of a step (``steps.x.results``), whose keys are those of the table, or objects that have
            the column ``key`` themselves.
        truth: objects, one a row; of rows that were not asked about nothing is counted.
        key: the column of the table that names a row.
        columns: which columns count; without it all but ``key``.
        tolerance: how far a number may be off, as a share of the true one: 0.05 for 5 %.
        loose: compare texts by their letters and digits alone, in any case.

    Returns:
        accuracy: the share of right cells of all that were asked, 0 to 1.
        baseline: the same for always giving one of the commonest true values of each column, the one that is right most
            often, which needs no knowledge.
        rows: how many rows were asked about, and how many of them have an answer (``answered``).
        columns: the same for each column, with the mean distance of its numbers (``mean_error``; null for texts).
        wrong: each wrong cell of the rows that have an answer: ``{key, column, expected, given}``.

    Raises:
        TaskFailed: a key is not in the table or twice, or a row is no object.

    Example:
        uses: score_table
        with:
          answers: [{name: iron, z: 26, state: solid}, {name: neon, z: 11, state: gas}]
          truth: [{name: iron, z: 26, state: solid}, {name: neon, z: 10, state: gas}, {name: gold, z: 79, state: solid}]
          key: name
        gives:
          accuracy: 0.75
          baseline: 0.5
          rows: 2
          answered: 2
          columns:
            - {column: z, asked: 2, answered: 2, correct: 1, accuracy: 0.5, baseline: 0.5, mean_error: 0.5}
            - {column: state, asked: 2, answered: 2, correct: 2, accuracy: 1.0, baseline: 0.5, mean_error: null}
          wrong: [{key: neon, column: z, expected: 10, given: 11}]
    """
    from collections import Counter

    from metis_flow.errors import TaskFailed, did_you_mean
    from metis_flow.tasks.equality import equality_key

    def is_number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    def is_right(true: Any, given: Any) -> bool:
        if is_number(true) and is_number(given):
            return bool(abs(given - true) <= tolerance * abs(true))
        return equality_key(true, loose=loose) == equality_key(given, loose=loose)

    def share(part: int, whole: int) -> float:
        return round(part / whole, 4) if whole else 0.0

    def name_of(row: Any, place: str) -> str:
        if not isinstance(row, dict) or row.get(key) is None:
            raise TaskFailed(f"{place} has no '{key}'", hint="'key' names the column that both have")
        return str(row[key])

    table: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(truth):
        name = name_of(row, f"truth[{number}]")
        if name in table:
            raise TaskFailed(f"the table has '{name}' twice", hint=f"truth[{number}] is the second one")
        table[name] = row
    asked: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(answers):
        is_result = isinstance(row, dict) and {"key", "status", "output"} <= row.keys()
        name = str(row["key"]) if is_result else name_of(row, f"answers[{number}]")
        if name not in table:
            hint = did_you_mean(name, table) or f"rows of the table are named by their '{key}'"
            raise TaskFailed(f"answers[{number}] is about '{name}', which is not in the table", hint=hint)
        if name in asked:
            raise TaskFailed(f"'{name}' was answered twice", hint=f"answers[{number}] is the second one; see vote")
        answer = row["output"] if is_result else row
        asked[name] = answer if isinstance(answer, dict) else {}
    names = columns or list(dict.fromkeys(name for row in truth for name in row if name != key))
    scored: list[ColumnScore] = []
    wrong: list[Wrong] = []
    best = 0
    for column in names:
        cells = [(name, table[name].get(column), answer) for name, answer in asked.items()]
        cells = [(name, true, answer) for name, true, answer in cells if true is not None]
        right = [is_right(true, answer.get(column)) for _, true, answer in cells]
        values = {equality_key(true, loose=loose): true for _, true, _ in cells}
        often = Counter(equality_key(true, loose=loose) for _, true, _ in cells).most_common(100)
        guessed = max((sum(is_right(true, values[guess]) for _, true, _ in cells) for guess, _ in often), default=0)
        pairs: list[Any] = [(true, answer.get(column)) for _, true, answer in cells]
        errors = [abs(given - true) for true, given in pairs if is_number(true) and is_number(given)]
        best += guessed
        scored.append(
            {
                "column": column,
                "asked": len(cells),
                "answered": sum(given is not None for _, given in pairs),
                "correct": sum(right),
                "accuracy": share(sum(right), len(cells)),
                "baseline": share(guessed, len(cells)),
                "mean_error": round(sum(errors) / len(errors), 6) if errors else None,
            }
        )
        wrong += [
            {"key": name, "column": column, "expected": true, "given": answer.get(column)}
            for (name, true, answer), held in zip(cells, right, strict=True)
            if answer and not held
        ]
    total = sum(one["asked"] for one in scored)
    return {
        "accuracy": share(sum(one["correct"] for one in scored), total),
        "baseline": share(best, total),
        "rows": len(asked),
        "answered": sum(bool(answer) for answer in asked.values()),
        "columns": scored,
        "wrong": wrong,
    }
