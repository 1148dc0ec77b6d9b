"""Tables as text: whole where they are piped, fitted to the window on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TextIO

from metis_flow.views.safe_text import one_line

PIPED_WIDTH = 100_000
LEAST_WIDTH = 12
"""Characters that a column keeps which gives way to the others."""

_COLOURS = {
    "done": "green",
    "running": "yellow",
    "failed": "red",
    "died": "red",
    "unreadable": "red",
    "stopped": "yellow",
    "paused": "yellow",
    "submitted": "yellow",
    "skipped": "dim",
}


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        right: whether it is aligned to the right, as numbers are.
        gives_way: whether it may be cut with ``…`` where the window is too narrow; others are folded.
    """

    title: str
    right: bool = False
    gives_way: bool = False


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]], out: TextIO, *, indent: int = 0) -> None:
    """Print a table; cells are taken as data, and on a terminal a cell that is the name of a status gets its colour.

    Args:
        rows: a cell for each column; None is an empty one.
        indent: spaces before each line.
    """
    texts = [["" if value is None else one_line(value) for value in row] for row in rows]
    lines = _fitted(columns, texts, out, indent) if out.isatty() else _whole(columns, texts, indent)
    out.writelines(f"{line.rstrip()}\n" for line in lines)


def _whole(columns: Sequence[Column], rows: list[list[str]], indent: int) -> Iterator[str]:
    """Every cell as it is; much faster than what looks at a window, and there may be very many rows."""
    from rich.cells import cell_len

    table = [[column.title for column in columns], *rows]
    widths = [max(cell_len(row[number]) for row in table) for number in range(len(columns))]
    for row in table:
        cells = []
        for text, width, column in zip(row, widths, columns, strict=True):
            gap = " " * (width - cell_len(text))
            cells.append(gap + text if column.right else text + gap)
        yield " " * indent + "  ".join(cells)


def _fitted(columns: Sequence[Column], rows: list[list[str]], out: TextIO, indent: int) -> list[str]:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        # What rich calls wrapping here decides which columns become narrower first; how a cell does it, it says itself.
        narrowest = LEAST_WIDTH if column.gives_way else None
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(Text(column.title), justify=justify, no_wrap=not column.gives_way, min_width=narrowest)
    for row in rows:
        cells = []
        for column, text in zip(columns, row, strict=True):
            overflow: Literal["ellipsis", "fold"] = "ellipsis" if column.gives_way else "fold"
            cells.append(Text(text, style=_COLOURS.get(text, ""), overflow=overflow, no_wrap=column.gives_way))
        table.add_row(*cells)
    console = Console(file=out, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(Padding(table, (0, 0, 0, indent)))
    return capture.get().splitlines()
