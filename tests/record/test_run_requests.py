"""Wishes that another process leaves for the driver."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from metis_flow.errors import RecordError
from metis_flow.record.folder import RunFolder
from metis_flow.record.requests import pending_requests, request


def test_requests_are_seen_in_order_until_they_are_settled(run: RunFolder) -> None:
    assert pending_requests(run) == []
    whole = request(run, "cancel")
    one = request(run, "cancel", "relax@GaAs")
    assert pending_requests(run) == [whole, one]
    assert (one.kind, one.target, one.host, one.pid) == ("cancel", "relax@GaAs", socket.gethostname(), os.getpid())
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o600
    whole.settle()
    whole.settle()
    assert pending_requests(run) == [one]


def test_half_written_requests_and_other_files_are_not_seen(run: RunFolder) -> None:
    (run.requests / ".00000000000000000001-00000000.json.abcd.tmp").write_text("{")
    (run.requests / "README").write_text("")
    assert pending_requests(run) == []


def test_a_run_without_the_folder_has_no_requests_and_takes_them(run: RunFolder) -> None:
    run.requests.rmdir()
    assert pending_requests(run) == []
    wish = request(run, "cancel")
    assert pending_requests(run) == [wish]


def test_a_damaged_request_is_named(run: RunFolder) -> None:
    path = request(run, "cancel").path
    path.write_text("{}")
    with pytest.raises(RecordError) as caught:
        pending_requests(run)
    assert str(caught.value) == f"{path}: the request is damaged"
    assert caught.value.hint == "remove it, and ask again"
