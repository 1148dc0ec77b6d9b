"""The failures of a run, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from metis_flow.record.folder import RunFolder
from metis_flow.units import format_count
from metis_flow.views.failures import Consequence, Failure, Failures
from metis_flow.views.instances import error_lines
from metis_flow.views.safe_text import one_line
from metis_flow.views.values import near

MOST_GROUPS = 20


def print_failures(failures: Failures, folder: RunFolder, out: TextIO, *, name: str) -> None:
    """Each cause with its number and an example, what came of it, and the commands to look closer and to mend.

    Args:
        name: what commands call the run.
    """
    for group in failures.groups[:MOST_GROUPS]:
        out.writelines(f"{line}\n" for line in _group_lines(group, folder, name))
        out.write("\n")
    rest = failures.groups[MOST_GROUPS:]
    if rest:
        count = format_count(sum(group.count for group in rest))
        out.write(f"and {count} more, of {format_count(len(rest))} other causes: metis-flow errors {name} --json\n\n")
    if failures.consequences:
        out.write("because of these:\n")
        out.writelines(f"  {_consequence_line(found)}\n" for found in failures.consequences)
        out.write("\n")
    out.write(f"once it is mended: metis-flow resume {name} --failed\n")


def _group_lines(group: Failure, folder: RunFolder, name: str) -> Iterator[str]:
    steps = ", ".join(f"{step} {format_count(count)}" for step, count in group.steps.items())
    yield f"{format_count(group.count)} failed ({one_line(steps)}), for instance {one_line(group.address)}"
    yield from (f"  {line}" for line in error_lines(group.error))
    stderr = folder.path / group.folder / "stderr" if group.folder else None
    if stderr is not None and stderr.is_file() and not stderr.is_symlink():
        yield f"  all of its stderr: {near(stderr)}"
    yield f"  look at it: metis-flow show {name} {one_line(group.address)}"


def _consequence_line(found: Consequence) -> str:
    counts = [(found.failed, "failed"), (found.skipped, "skipped")]
    words = ", ".join(f"{format_count(count)} {word}" for count, word in counts if count)
    return f"{one_line(found.step)}: {words}, because of {one_line(', '.join(found.roots))}"
