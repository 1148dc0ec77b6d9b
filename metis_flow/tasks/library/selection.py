"""Tasks that choose among values and rows."""

from __future__ import annotations

from typing import Any, TypedDict

from metis_flow.tasks.registry import task


class Votes(TypedDict):
    """How often one value was given."""

    value: Any
    votes: int


class Election(TypedDict):
    """The outcome of a vote."""

    value: Any
    votes: int
    of: int
    share: float
    tied: bool
    counts: list[Votes]


@task
def dedupe(rows: list[Any], by: list[str] | str | None = None, loose: bool = False) -> list[Any]:
    """Drops rows that repeat an earlier one; the first of them stays, in its place.

    Args:
        rows: JSON values. Two are equal as JSON: the order of keys does not matter, 1 is 1.0, and true is not 1.
        by: the field, or the fields, that make rows equal; without it whole rows are compared. A row in which all of
            them are null or missing repeats nothing and stays.
        loose: compare texts by their letters and digits alone, in any case: "Band gaps, revisited." is "band gaps
            revisited".

    Raises:
        TaskFailed: ``by`` is given, and a row is no object.

    Example:
        uses: dedupe
        with: {rows: [{doi: 10.1/a, n: 1}, {doi: 10.1/b, n: 2}, {doi: 10.1/a, n: 3}], by: doi}
        gives: [{doi: 10.1/a, n: 1}, {doi: 10.1/b, n: 2}]
    """
    from metis_flow.errors import TaskFailed
    from metis_flow.tasks.equality import equality_key

    fields = [by] if isinstance(by, str) else by
    seen = set()
    kept = []
    for number, row in enumerate(rows):
        value = row
        if fields is not None:
            if not isinstance(row, dict):
                raise TaskFailed(f"rows[{number}] is no object, so it has no fields", hint="leave 'by' out")
            value = [row.get(field) for field in fields]
            if all(part is None for part in value):
                kept.append(row)
                continue
        key = equality_key(value, loose=loose)
        if key not in seen:
            seen.add(key)
            kept.append(row)
    return kept


@task
def sample_rows(rows: list[Any], n: int, seed: int = 0, by: str | None = None) -> list[Any]:
    """Some rows, chosen at random and the same for the same seed on every machine; they keep their order.

    Args:
        rows: JSON values.
        n: how many; all of them where there are fewer.
        seed: another one makes another choice.
        by: a field by whose values the rows are grouped: each group gives its share of the ``n``, to the nearest row.

    Raises:
        TaskFailed: ``n`` is negative, or ``by`` is given and a row is no object.

    Example:
        uses: sample_rows
        with: {rows: [a, b, c, d, e, f], n: 3, seed: 1}
        gives: [c, e, f]
    """
    import hashlib
    import json

    from metis_flow.errors import TaskFailed

    def draw(index: int) -> bytes:  # Python promises no order of random.sample from one version to the next
        return hashlib.sha256(f"{seed}:{index}".encode()).digest()

    if n < 0:
        raise TaskFailed(f"'n' is {n}, and should be at least 0")
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if by is not None and not isinstance(row, dict):
            raise TaskFailed(f"rows[{index}] is no object, so it has no '{by}'", hint="leave 'by' out")
        groups.setdefault("" if by is None else json.dumps(row.get(by), sort_keys=True), []).append(index)
    wanted = min(n, len(rows))
    exact = {name: wanted * len(group) / len(rows) for name, group in groups.items()} if rows else {}
    take = {name: int(share) for name, share in exact.items()}
    by_rest = sorted(exact, key=lambda name: (take[name] - exact[name], groups[name][0]))
    for name in by_rest[: wanted - sum(take.values())]:
        take[name] += 1
    chosen = {index for name, group in groups.items() for index in sorted(group, key=draw)[: take[name]]}
    return [row for index, row in enumerate(rows) if index in chosen]


@task
def vote(values: list[Any], field: str | None = None, least: float = 0.0) -> Election:
    """What most of the values say, such as the answers of several samples or several models.

    Args:
        values: JSON values; equal ones are counted together (1 is 1.0). Null is no vote.
        field: vote on this field of each value instead of on the whole; a value without it is no vote.
        least: the share of the votes that the winner must have, 0 to 1; below it ``value`` is null.

    Returns:
        value: the one with the most votes, of equals the one that came first; null where nobody voted.
        votes: how many it has, of how many that voted (``of``), and the ``share``, to four digits.
        tied: whether another has as many.
        counts: ``{value, votes}`` for each, the most votes first.

    Raises:
        TaskFailed: ``field`` is given, and a value is no object.

    Example:
        uses: vote
        with: {values: [dft, experiment, dft, null]}
        gives:
          value: dft
          votes: 2
          of: 3
          share: 0.6667
          tied: false
          counts: [{value: dft, votes: 2}, {value: experiment, votes: 1}]
    """
    from metis_flow.errors import TaskFailed
    from metis_flow.tasks.equality import equality_key

    found: dict[str, Votes] = {}
    for number, value in enumerate(values):
        if field is not None and value is not None:
            if not isinstance(value, dict):
                raise TaskFailed(f"values[{number}] is no object, so it has no '{field}'", hint="leave 'field' out")
            value = value.get(field)
        if value is not None:
            counted = found.setdefault(equality_key(value), {"value": value, "votes": 0})
            counted["votes"] += 1
    counts = sorted(found.values(), key=lambda one: -one["votes"])
    of = sum(one["votes"] for one in counts)
    most = counts[0]["votes"] if counts else 0
    share = round(most / of, 4) if of else 0.0
    return {
        "value": counts[0]["value"] if counts and most >= least * of else None,
        "votes": most,
        "of": of,
        "share": share,
        "tied": len(counts) > 1 and counts[1]["votes"] == most,
        "counts": counts,
    }


@task
def count(values: list[Any]) -> dict[str, int]:
    """How often each value occurs: the commonest first, equally common ones by name.

    Args:
        values: texts, numbers, true, false or null. Other than texts are named as JSON writes them, so the number 3
            and the text "3" count together.

    Returns:
        An object: value to number of times. Empty for an empty list.

    Raises:
        TaskFailed: a value is a list or an object.

    Example:
        uses: count
        with: {values: [dft, experiment, dft]}
        gives: {dft: 2, experiment: 1}
    """
    import json
    from collections import Counter

    from metis_flow.errors import TaskFailed

    names = []
    for number, value in enumerate(values):
        if isinstance(value, list | dict):
            raise TaskFailed(
                f"values[{number}] is {'a list' if isinstance(value, list) else 'an object'}, which cannot be counted",
                hint="take one field of it, such as steps.x.outputs | map(attribute='method') | list",
            )
        names.append(value if isinstance(value, str) else json.dumps(value))
    return dict(sorted(Counter(names).items(), key=lambda pair: (-pair[1], pair[0])))
