"""Files of a run folder: private, replaced whole, and never followed out of the folder."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from pathlib import Path
from typing import BinaryIO

from metis_flow.errors import RecordError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


def make_private_folder(path: Path, *, exist_ok: bool = False) -> None:
    """Make a folder that only its owner can enter, whatever the umask is.

    Raises:
        FileExistsError: it is there already, and ``exist_ok`` is false.
        RecordError: something that is no folder stands in its place.
    """
    try:
        os.mkdir(path, PRIVATE_FOLDER)
    except FileExistsError:
        if not exist_ok:
            raise
        if path.is_symlink() or not path.is_dir():
            found = "a symbolic link" if path.is_symlink() else "something else"
            raise RecordError(
                f"a folder belongs at {path}, and {found} is in its place",
                hint="nothing was read or written there; take it away, and go on with `metis-flow resume`",
            ) from None
    else:
        os.chmod(path, PRIVATE_FOLDER)


def open_plain(path: Path) -> BinaryIO:
    """Open a file of a record for reading; a link, a pipe or a device in its place is refused.

    Raises:
        RecordError: it is no plain file.
        OSError: it cannot be opened.
    """
    # Without O_NONBLOCK, opening a named pipe would wait for a writer for ever.
    if path.is_symlink():
        raise RecordError("a plain file belongs here, and a symbolic link is in its place", where=str(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RecordError("a plain file belongs here, and something else is in its place", where=str(path))
    return open(descriptor, "rb")


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte; `os.write` alone may stop half-way."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable: what was created or renamed there is still there after a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Create a private file with these bytes, or none.

    Raises:
        FileExistsError: it is there already.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        os.fchmod(descriptor, PRIVATE_FILE)
        write_all(descriptor, data)
        if durable:
            os.fsync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace a file by these bytes: a reader sees the old ones or the new ones, never a part.

    Args:
        durable: whether that holds after a power cut too; not needed for what is derived and carries a checksum.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write_new(temporary, data, durable=durable)
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def inside(root: Path, path: Path | str) -> Path:
    """The path under ``root`` (relative ones start there), once it is sure that no link or ``..`` leads out of it.

    Raises:
        RecordError: it leads outside.
    """
    full = root / path
    real = full.resolve()
    if not real.is_relative_to(root.resolve()):
        raise RecordError(
            f"this path leads outside of its folder, to {real}",
            where=str(full),
            hint="nothing was read or written there; remove the link, or run the step again",
        )
    return full


def promote(temporary: Path, final: Path, *, within: Path) -> None:
    """Give finished files their final name by one rename, after making them durable.

    A file replaces a file. A folder takes the place of the folder that an earlier attempt left. Links *in* a folder
    are moved as links and never followed.

    Args:
        temporary: a file or a folder on the same file system as ``final``.
        final: its name from now on; its parents are made when needed.
        within: the folder that both must be in.

    Raises:
        RecordError: one of them, or a folder on the way, is a link that leads out of ``within``.
        FileNotFoundError: there is nothing at ``temporary``.
    """
    _own(temporary, within)
    _own(final, within)
    make_parents(final, within=within)
    _sync_tree(temporary)
    if final.is_dir() and not final.is_symlink():
        aside = final.with_name(f".{final.name}.old")
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(final, aside)
        os.rename(temporary, final)
        shutil.rmtree(aside)
    else:
        os.rename(temporary, final)
    sync_folder(final.parent)


def _own(path: Path, within: Path) -> None:
    """Refuse a path whose parents, or which itself, is a link out of the folder."""
    inside(within, os.path.relpath(path.absolute(), within.absolute()))


def make_parents(path: Path, *, within: Path) -> None:
    """Make the private folders between ``within`` and ``path``.

    Raises:
        RecordError: a link stands in the place of one of them.
    """
    missing = within
    for part in path.absolute().relative_to(within.absolute()).parts[:-1]:
        missing = missing / part
        make_private_folder(missing, exist_ok=True)


def _sync_tree(path: Path) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        for child in path.iterdir():
            _sync_tree(child)
        sync_folder(path)
    elif stat.S_ISREG(mode):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
