"""Which runs beside this one may be believed: the user's own, whole folders, not links to somewhere else.

A result of an earlier run goes into prompts and scripts as if it had been made now. So a run counts only if its folder,
its journal and the file that a result is read from belong to the user: what others put into a shared runs folder, they
cannot slip into somebody's results. Files of a record are private, so nothing that could be used is lost by that.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from metis_flow.errors import RecordError
from metis_flow.record.files import open_plain
from metis_flow.record.folder import RunFolder


def reason_against(folder: RunFolder) -> str | None:
    """Why nothing of a run is used; None if it may be.

    Raises:
        FileNotFoundError: it is not there, or has no journal yet.
        OSError: it cannot be looked at.
    """
    for path, what in ((folder.path, "it"), (folder.journal, "its journal")):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return f"{what} is a symbolic link"
        if not stat.S_ISDIR(status.st_mode):
            return f"{what} is no folder"
        if status.st_uid != os.geteuid():
            return f"{what} belongs to another user"
    return None


def open_own(path: Path) -> BinaryIO:
    """Open a plain file that belongs to the user.

    Raises:
        RecordError: it is no plain file, or somebody else's.
        OSError: it cannot be opened.
    """
    file = open_plain(path)
    if os.fstat(file.fileno()).st_uid != os.geteuid():
        file.close()
        raise RecordError("the file belongs to another user", where=str(path))
    return file
