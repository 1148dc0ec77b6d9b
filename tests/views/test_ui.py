"""The local application: who is let in, what is answered, and that nothing can be changed."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from metis_flow.cli import run_command
from metis_flow.errors import UsageError
from metis_flow.record.folder import RunFolder
from metis_flow.views.ui.server import is_loopback, listen

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Ui:
    """``metis-flow ui`` in a process of its own."""

    process: subprocess.Popen[str]
    port: int
    token: str
    said: str = ""

    def ask(self, path: str, *, method: str = "GET", host: str | None = None) -> Answer:
        """Ask for a path, written as it goes over the wire."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True)
            connection.putheader("Host", host if host is not None else f"127.0.0.1:{self.port}")
            connection.endheaders()
            reply = connection.getresponse()
            headers = {name.lower(): value for name, value in reply.getheaders()}
            return Answer(reply.status, headers, reply.read().decode("utf-8"))
        finally:
            connection.close()

    def get(self, path: str = "") -> Answer:
        """Ask for an address below the secret one."""
        return self.ask(f"/{self.token}/{path}")


def start(runs_dir: Path, *more: str) -> Ui:
    words = [sys.executable, "-m", "metis_flow.cli", "ui", "--runs-dir", str(runs_dir), "--open", "no", *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.fullmatch(r"http://(?:127\.0\.0\.1|\[::1\]):(\d+)/([\w-]{32})/\n", line)
    if match is None:
        process.kill()
        raise AssertionError(f"{line}{process.communicate()}")
    return Ui(process, int(match[1]), match[2])


def end(ui: Ui, number: int = signal.SIGINT) -> str:
    ui.process.send_signal(number)
    _, said = ui.process.communicate(timeout=20)
    return said


@pytest.fixture(scope="module")
def ui(survey: RunFolder) -> Iterator[Ui]:
    started = start(survey.path.parent)
    yield started
    end(started)


def test_it_says_how_to_reach_it_and_ends_quietly(survey: RunFolder) -> None:
    ui = start(survey.path.parent)
    assert ui.get().status == 200
    said = end(ui)
    lines = said.splitlines()
    assert re.fullmatch(rf"from another machine, first: ssh -L {ui.port}:127\.0\.0\.1:{ui.port} [^@ ]+@[^ ]+", lines[0])
    assert lines[1:] == ["Ctrl-C ends it"]
    assert ui.process.returncode == 0


def test_the_list_and_a_run(ui: Ui, survey: RunFolder) -> None:
    home = ui.get()
    assert home.status == 200
    assert f'href="runs/{survey.id}/"' in home.text
    page = ui.get(f"runs/{survey.id}/")
    assert page.status == 200
    assert "It ran to its end, but 2 of 10 instances failed" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["x-frame-options"] == "DENY"
    assert "server" not in page.headers


def test_an_instance_with_all_its_texts(ui: Ui, survey: RunFolder) -> None:
    answer = ui.get(f"runs/{survey.id}/instance?address=extract%40InSb")
    assert [call["text"] for call in json.loads(answer.text)["calls"]] == [
        '{"material": "InSb", "gap": "0.17 to 0.23"}',
        '{"material": "InSb", "gap": 0.17}',
    ]
    assert json.loads(ui.get(f"runs/{survey.id}/instance?address=plot").text)["address"] == "plot"
    assert ui.get(f"runs/{survey.id}/instance?address=nothing").status == 404
    assert ui.get(f"runs/{survey.id}/instance").status == 404


def test_news_only_where_there_are_some(ui: Ui, survey: RunFolder) -> None:
    news = json.loads(ui.get(f"runs/{survey.id}/news?version=old").text)
    assert news["running"] is False
    assert "What failed" in news["parts"]["failures"]
    assert ui.get(f"runs/{survey.id}/news?version={news['version']}").status == 204


@pytest.mark.parametrize("path", ["/", "/x/", "", "/runs/", "//"])
def test_without_the_token_nothing_is_answered(ui: Ui, path: str) -> None:
    answer = ui.ask(path or "/" + ui.token[:-1] + "/")
    assert answer.status == 403
    assert answer.text == "the address lacks its secret part: use the whole one that `metis-flow ui` printed\n"
    assert "band_gaps" not in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "10.0.0.1", "[::2]", "["]
)
def test_a_foreign_host_is_refused_although_the_token_is_right(ui: Ui, host: str) -> None:
    answer = ui.ask(f"/{ui.token}/", host=host)
    assert (answer.status, answer.text) == (421, "this server has another name\n")


@pytest.mark.parametrize("host", ["localhost:9999", "127.0.0.1:1", "[::1]:8080", "localhost"])
def test_a_tunnel_may_have_another_port(ui: Ui, host: str) -> None:
    assert ui.ask(f"/{ui.token}/", host=host).status == 200


@pytest.mark.parametrize(
    "path",
    ["../", "runs/../", "runs/..%2f..%2fetc/", "runs/%2e%2e/", "runs/..\\x/", "runs/%2e%2e%2fx%2f/", "runs/%00/"],
)
def test_a_path_that_leads_elsewhere_is_refused(ui: Ui, path: str) -> None:
    answer = ui.get(path)
    assert (answer.status, answer.text) == (400, "there is no such address\n")


@pytest.mark.parametrize(
    "path", ["runs/nothing/", "runs/", "runs", "lock.json", "runs/last/news", "runs/last/instance"]
)
def test_what_is_not_there(ui: Ui, path: str) -> None:
    assert ui.get(path).status == 404


def test_a_run_is_named_by_its_whole_id_only(ui: Ui, survey: RunFolder) -> None:
    assert ui.get(f"runs/{survey.id[:-1]}/").status == 404
    assert ui.get("runs/last/").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(ui: Ui, survey: RunFolder, method: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in survey.path.rglob("*")}
    answer = ui.ask(f"/{ui.token}/runs/{survey.id}/", method=method)
    assert (answer.status, answer.text) == (405, "there is nothing to change here\n")
    ui.get(f"runs/{survey.id}/")
    assert {path: path.stat().st_mtime_ns for path in survey.path.rglob("*")} == before


def test_a_damaged_record_does_not_hide_the_others(survey: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(survey.path, tmp_path / survey.id)
    broken = RunFolder(tmp_path / "broken-20260101-000000-000000")
    shutil.copytree(survey.path, broken.path)
    for path in broken.journal.iterdir():
        if path.suffix == ".jsonl":
            path.write_bytes(path.read_bytes().replace(b'"e":"done"', b'"e":"dome"', 1))
        else:
            path.unlink()
    ui = start(tmp_path)
    try:
        home = ui.get().text
        assert "unreadable" in home
        assert f"runs/{survey.id}/" in home
        answer = ui.get(f"runs/{broken.id}/")
        assert answer.status == 500
        assert "the journal is damaged" in answer.text
    finally:
        end(ui)


def test_an_empty_folder(tmp_path: Path) -> None:
    ui = start(tmp_path / "nothing")
    try:
        assert "There is no run here yet" in ui.get().text
    finally:
        end(ui)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_other_machines_are_let_in_only_where_that_is_said(host: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(["ui", "--host", host]) == 2
    assert capfd.readouterr().err == (
        f"--host {host}: other machines could read your records there\n"
        "  hint: leave --host out and use the `ssh -L` command that is printed; or add --expose\n"
    )


def test_a_port_that_is_taken(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_command(["ui", "--port", str(port), "--open", "no"]) == 2
        assert f"127.0.0.1:{port}: nothing can listen there: Address already in use" in capfd.readouterr().err


def test_what_is_this_machine_only() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "localhost.example.org", ""]))
    with pytest.raises(UsageError, match="nothing can listen there"):
        listen("192.0.2.1", 0)
