"""What a script wrote to standard output and standard error, for a terminal."""

from __future__ import annotations

from collections import deque
from typing import TextIO

from metis_flow.record.files import open_plain
from metis_flow.record.folder import RunFolder
from metis_flow.units import format_count
from metis_flow.views.conversation import LINES_ON_A_TERMINAL, shortened
from metis_flow.views.safe_text import one_line, safe
from metis_flow.views.values import near

STREAMS = ("stdout", "stderr")


def print_streams(folder: RunFolder, place: str, out: TextIO) -> None:
    """Both streams of an instance; on a terminal only the last lines of a long one.

    Args:
        place: the instance's folder, relative to the run's.

    Raises:
        RecordError: the folder, or a stream, is a link that leads elsewhere.
    """
    for name in STREAMS:
        path = folder.inside(f"{place}/{name}")
        if not path.is_file():
            continue
        most = LINES_ON_A_TERMINAL if out.isatty() else None
        with open_plain(path) as file:
            count, last = 0, deque[bytes](maxlen=most)
            for line in file:
                count += 1
                last.append(line)
        left_out = f", the last {format_count(len(last))} lines of {format_count(count)}" if count > len(last) else ""
        out.write(f"\n--- {one_line(name)}{left_out} ({near(path)})\n")
        texts = (safe(line.decode("utf-8", "replace").rstrip("\n")) for line in last)
        out.writelines(f"{line}\n" for line in shortened(texts, cut=most is not None))
