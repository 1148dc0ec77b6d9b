"""Takes documents apart for a digest, and puts their summaries together. Called by digest.yaml."""


def parts(cut):
    """One list of all the parts of all documents.

    Args:
        cut: for each document ``{key, output}``: its name, and its parts as ``{text}``.

    Returns:
        For each part its document, its name (``a.md``, or ``a.md 2`` for the second of several) and its text. Parts
        that hold nothing but blanks are left out.
    """
    found = []
    for document in cut:
        texts = [part["text"] for part in document["output"] or [] if part["text"].strip()]
        for number, text in enumerate(texts, start=1):
            name = document["key"] if len(texts) == 1 else f"{document['key']} {number}"
            found.append({"document": document["key"], "name": name, "text": text})
    return found


def page(summaries):
    """A page in Markdown with a heading for each part and its summary below.

    Args:
        summaries: for each part ``{key, output}``: its name, and its summary or null.

    Returns:
        The page's text, and the names of the parts that have no summary.
    """
    sections = [f"## {one['key']}\n\n{' '.join(one['output'].split())}\n" for one in summaries if one["output"]]
    return {"text": "\n".join(sections), "missing": [one["key"] for one in summaries if not one["output"]]}
