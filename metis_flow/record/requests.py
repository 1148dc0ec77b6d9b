"""Wishes to the driver of a run, left in its folder by another process: ``requests/<time>-<hex>.json``."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from metis_flow.errors import RecordError
from metis_flow.record import files
from metis_flow.record.folder import RunFolder

_NAME = re.compile(r"\d{20}-[0-9a-f]{8}\.json")


@dataclass(frozen=True)
class Request:
    """One wish.

    Attributes:
        kind: what is wanted, such as ``cancel``.
        target: the ``step`` or ``step@key`` that is meant; None for the whole run.
        t: unix seconds.
        host, pid: who asked.
    """

    kind: str
    target: str | None
    t: float
    host: str
    pid: int
    path: Path

    def settle(self) -> None:
        """Take it off the list, once it is done. Harmless when that has happened already."""
        self.path.unlink(missing_ok=True)


def request(folder: RunFolder, kind: str, target: str | None = None) -> Request:
    """Ask the driver of a run for something; returns at once."""
    files.make_private_folder(folder.requests, exist_ok=True)
    path = folder.requests / f"{time.time_ns():020d}-{secrets.token_hex(4)}.json"
    wish = Request(kind, target, time.time(), socket.gethostname(), os.getpid(), path)
    data = {"kind": kind, "target": target, "t": wish.t, "host": wish.host, "pid": wish.pid}
    files.write_atomic(path, json.dumps(data).encode() + b"\n")
    return wish


def pending_requests(folder: RunFolder) -> list[Request]:
    """What is wanted and not settled yet, oldest first.

    Raises:
        RecordError: one of them cannot be read.
    """
    found: list[Request] = []
    try:
        names = sorted(filter(_NAME.fullmatch, os.listdir(folder.requests)))
    except FileNotFoundError:
        return []
    for name in names:
        path = folder.requests / name
        try:
            with files.open_plain(path) as file:
                data = json.loads(file.read())
            found.append(Request(data["kind"], data["target"], data["t"], data["host"], data["pid"], path))
        except FileNotFoundError:
            continue  # settled meanwhile
        except (ValueError, KeyError, TypeError):
            raise RecordError("the request is damaged", where=str(path), hint="remove it, and ask again") from None
    return found
