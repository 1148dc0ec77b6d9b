"""Scores answers about chemical elements against a table. Called by elements.yaml."""


def score(truth, results, melting_tolerance=0.05):
    """How many answers are right, for each property and in all.

    Numbers, the symbol and the state must match exactly, the melting point within a share of its true value. An
    element without a valid answer counts as wrong in every property.

    Args:
        truth: rows with name, symbol, atomic_number, group, period, state and melting_point_k (kelvin).
        results: what came of each element: ``{key, status, output}``; the key is the element's name, the output has
            the same fields as a row of truth, or is null where there is no valid answer.
        melting_tolerance: as a share, 0.05 for 5 %.

    Returns:
        accuracy: share of right answers over all properties, 0 to 1.
        baseline: the same for giving every element the commonest true value of each property, which needs no
            knowledge of any element: an accuracy above it is knowledge.
        elements, answered: how many elements were asked about, and how many gave a valid answer.
        table: a row for each property: its name, how many were asked, correct, and correct by the baseline's answer.
        csv: the table as CSV text.

    Raises:
        ValueError: a result's key is no element of the table.
    """
    rows = {row["name"]: row for row in truth}
    strangers = [result["key"] for result in results if result["key"] not in rows]
    if strangers:
        raise ValueError(f"not in the table of elements: {', '.join(strangers)}")
    asked = [(rows[result["key"]], result["output"] or {}) for result in results]
    rights = {
        "symbol": same,
        "atomic_number": same,
        "group": same,
        "period": same,
        "state": same,
        "melting_point_k": within(melting_tolerance),
    }
    table = [score_property(name, right, asked) for name, right in rights.items()]
    return {
        "accuracy": share(table, "correct"),
        "baseline": share(table, "baseline_correct"),
        "elements": len(asked),
        "answered": sum(1 for _, answer in asked if answer),
        "table": table,
        "csv": as_csv(table),
    }


def score_property(name, right, asked):
    """One row of the table."""
    values = [(row[name], answer.get(name)) for row, answer in asked]
    correct = sum(right(true, given) for true, given in values)
    guesses = {true for true, _ in values}
    return {
        "property": name,
        "asked": len(values),
        "correct": correct,
        "baseline_correct": max((sum(right(true, guess) for true, _ in values) for guess in guesses), default=0),
    }


def same(true, given):
    """Whether the answer is the true value; 26.0 is 26."""
    return given == true


def within(tolerance):
    """A comparison that lets a number be off by a share of the true one."""
    return lambda true, given: given is not None and abs(given - true) <= tolerance * true


def share(table, column):
    """The sum of a column as a share of all that was asked, to four digits; 0 where nothing was."""
    asked = sum(row["asked"] for row in table)
    return round(sum(row[column] for row in table) / asked, 4) if asked else 0.0


def as_csv(table):
    """Names and numbers only, so that no cell needs quotes."""
    lines = [",".join(table[0]), *(",".join(str(cell) for cell in row.values()) for row in table)]
    return "\n".join(lines) + "\n"
