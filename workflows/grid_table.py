"""Compares the samples of each combination of a matrix. Called by grid.yaml."""

from collections import Counter


def table(results, field):
    """For each combination its commonest answer.

    Args:
        results: of a step with ``matrix`` and ``repeat``: ``{key, output}``, where the key ends in ``,repeat=…``.
        field: the field of the outputs that is compared.

    Returns:
        For each combination, in order, ``{setting, answer, share, of}``: the commonest answer, its share of the valid
        ones to three digits, and how many these are. Without any, answer and share are null.
    """
    groups = {}
    for row in results:
        setting, _, _ = row["key"].rpartition(",repeat=")
        groups.setdefault(setting, []).extend([row["output"][field]] if row["output"] else [])
    return [{"setting": setting, **_commonest(answers)} for setting, answers in groups.items()]


def _commonest(answers):
    if not answers:
        return {"answer": None, "share": None, "of": 0}
    [(answer, count)] = Counter(answers).most_common(1)
    return {"answer": answer, "share": round(count / len(answers), 3), "of": len(answers)}
