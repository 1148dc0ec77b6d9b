"""Puts the samples of all notebook pages into one list, and the decisions on one sheet. Called by two_levels.yaml."""


def listed(pages, found):
    """One list of the samples of all pages.

    Args:
        pages: for each page ``{key, output}``: its name, and its text.
        found: for each page ``{key, output}``: its name, and its samples as ``{samples: [name, …]}`` or null.

    Returns:
        ``{page, name, text}`` for each sample, once where a page names it twice. Names that do not stand on the page
        are left out: the model made them up.
    """
    texts = {page["key"]: page["output"] for page in pages}
    return [
        {"page": page["key"], "name": name, "text": texts[page["key"]]}
        for page in found
        if page["output"]
        for name in dict.fromkeys(page["output"]["samples"])
        if name in texts[page["key"]]
    ]


def sheet(samples, decided):
    """A line for each sample: page, sample and decision; "unknown" where there is none.

    Args:
        samples: what `listed` gave.
        decided: the results for these, in their order; under ``--limit`` for the first ones.
    """
    decisions = [row["output"]["decision"] if row["output"] else "unknown" for row in decided]
    return [f"{one['page']}: {one['name']}: {made}" for one, made in zip(samples, decisions, strict=False)]
