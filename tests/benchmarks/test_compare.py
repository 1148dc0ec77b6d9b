"""The comparison with other libraries: that it sees what they do, not how fast."""

from __future__ import annotations

import dataclasses
import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from benchmarks import compare
from benchmarks.compare import Load
from benchmarks.environments import Environment
from benchmarks.peer_list import Peer, all_peers
from benchmarks.results import table_lines
from benchmarks.server import Latency, LoopbackServer, answer_to

FEW = Load(rounds=1, calls=None, in_flight=8, latency="0.005")
# Answers as the server does, without asking it; {} stands for what one answer is changed by.
MADE_UP = """
import json, pathlib, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
rows = [json.loads(line) for line in pathlib.Path(given["--questions"]).read_text().splitlines()]
answers = {{row["name"]: "You said: " + row["text"][:400] for row in rows}}
{}
lines = (json.dumps({{"name": name, "text": text}}) for name, text in answers.items())
pathlib.Path(given["--out"]).write_text("\\n".join(lines))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer("0.01") as running:
        yield running


def ask(server: LoopbackServer, content: Any, **more: Any) -> tuple[int, Any]:
    """The status and body of one answer."""
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    try:
        body = {"model": "m", "messages": [{"role": "user", "content": content}], **more}
        connection.request("POST", f"{place.path}/chat/completions", json.dumps(body))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def peer(name: str, **chosen: Any) -> Peer:
    """One of the list, given few calls."""
    [found] = (each for each in all_peers() if each.name == name)
    return dataclasses.replace(found, small=50, **chosen)


def script(folder: Path, name: str, text: str) -> Peer:
    """A peer of our own."""
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return Peer(name, f"a {name} one", path, small=50)


def cells(found: compare.Comparison) -> dict[str, dict[str, object]]:
    """The table's rows by what they are about."""
    section = compare.section(found)
    return {str(row[0]): dict(zip(section.columns, row, strict=True)) for row in section.rows}


def test_the_server_answers_with_the_question_and_counts(server: LoopbackServer) -> None:
    server.reset()
    status, answer = ask(server, "What is a »band gap«?")
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "You said: What is a »band gap«?")
    assert answer["usage"] == {"prompt_tokens": 6, "completion_tokens": 8, "total_tokens": 14}
    status, answer = ask(server, [{"type": "text", "text": "x" * 1000}])
    assert answer["choices"][0]["message"]["content"] == answer_to("x" * 1000) == f"You said: {'x' * 400}"
    served = server.served()
    assert (served.asked, served.answered, served.in_flight, served.most_in_flight) == (2, 2, 0, 1)
    assert served.first is not None
    assert served.seconds > 0
    server.reset()
    assert server.served().first is None


def test_the_server_refuses_what_it_cannot_do_and_counts_none_of_it(server: LoopbackServer) -> None:
    server.reset()
    assert ask(server, "x", stream=True) == (400, {"error": {"message": "this server does not stream"}})
    assert ask(server, "x", messages=[])[0] == 400
    assert server.served().asked == 0


def test_requests_sent_together_on_one_connection_are_answered_in_order(server: LoopbackServer) -> None:
    place = urlsplit(server.url)
    bodies = [json.dumps({"model": "m", "messages": [{"content": f"question {n}"}]}).encode() for n in range(3)]
    head = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n%b\r\n%b"
    last = len(bodies) - 1
    with socket.create_connection(("127.0.0.1", place.port or 0), timeout=30) as line:
        for n, body in enumerate(bodies):
            whole = head % (len(body), b"Connection: close\r\n" if n == last else b"", body)
            line.sendall(whole[:20])
            line.sendall(whole[20:])
        told = b"".join(iter(lambda: line.recv(4096), b"")).decode()
    assert [told.index(f"You said: question {n}") for n in range(3)] == sorted(
        told.index(f"You said: question {n}") for n in range(3)
    )


def test_uneven_latencies_are_those_of_their_questions() -> None:
    latency = Latency.parse("0.2-5.0", seed=3)
    drawn = [latency.of(f"question {n}") for n in range(1000)]
    assert drawn == [Latency.parse("0.2-5.0", seed=3).of(f"question {n}") for n in range(1000)]
    assert drawn != [Latency.parse("0.2-5.0", seed=4).of(f"question {n}") for n in range(1000)]
    assert 0.2 <= min(drawn) < 0.3
    assert 4.9 < max(drawn) <= 5.0
    assert (Latency.parse("0.05").of("x"), str(latency)) == (0.05, "0.2-5")
    with pytest.raises(ValueError, match=r"'3-1' is no latency: write 0\.05, or 0\.2-5\.0"):
        Latency.parse("3-1")


def test_the_server_keeps_uneven_latencies() -> None:
    with LoopbackServer("0-1.2", seed=1) as server:
        by_latency = sorted((f"question {n}" for n in range(40)), key=server.latency.of)
        asked = [by_latency[-1], by_latency[len(by_latency) // 2], by_latency[0]]
        came: list[str] = []

        def note(text: str) -> None:
            ask(server, text)
            came.append(text)

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(note, asked))
        assert came == asked[::-1]


def test_a_run_of_few_calls_gives_a_table() -> None:
    ours, floor = peer("metis-flow"), peer("aiohttp")
    found = compare.compare([ours, floor], FEW)
    assert (found.not_run, found.ours_is_whole) == ({}, True)
    rows = cells(found)
    assert [row["lost, wrong"] for row in rows.values()] == ["0, 0", "0, 0"]
    assert [row["most in flight"] for row in rows.values()] == ["8", "8"]
    assert rows[ours.what]["metis-flow's to its"] is None
    [our], [their] = found.turns["metis-flow"], found.turns["aiohttp"]
    assert rows[floor.what]["metis-flow's to its"] == our.rate / their.rate
    assert rows[floor.what]["metis-flow's to its CPU"] == our.cpu / their.cpu
    shown = compare.aligned(table_lines(compare.section(found).columns, compare.section(found).rows))
    assert len({len(line) for line in shown.splitlines()}) == 1
    assert len(shown.splitlines()) == 3


@pytest.mark.parametrize(
    ("change", "amiss"),
    [
        ("", "0, 0"),
        ("answers['q7'] = answers['q8']", "0, 1"),
        ("del answers['q7'], answers['q9']", "2, 0"),
        ("answers = {}", "50, 0"),
    ],
)
def test_a_wrong_and_a_lost_answer_are_seen(tmp_path: Path, change: str, amiss: str) -> None:
    found = compare.compare([script(tmp_path, "bad", MADE_UP.format(change))], FEW)
    assert cells(found)["a bad one"]["lost, wrong"] == amiss


def test_one_that_fails_is_not_run_and_the_others_go_on(tmp_path: Path) -> None:
    broken = script(tmp_path, "broken", "print('a start')\nraise SystemExit('there is no model of that name')")
    good = script(tmp_path, "good", MADE_UP.format(""))
    said: list[str] = []
    found = compare.compare([broken, good], dataclasses.replace(FEW, rounds=2), said.append)
    assert found.not_run == {"broken": "it ended with 1: a start / there is no model of that name"}
    assert [line.partition(",")[0] for line in said] == [
        "round 1: broken: not run: it ended with 1: a start / there is no model of that name",
        "round 1: good: 0 calls/s",
        "round 2: good: 0 calls/s",
    ]
    assert cells(found)["a broken one"]["calls a round"] == "not run"
    reasons = compare.section(found).remarks
    assert reasons[-1] == "Not run: broken: it ended with 1: a start / there is no model of that name."


def test_one_that_cannot_be_installed_is_not_run(tmp_path: Path) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_text("./nowhere\n", encoding="utf-8")
    absent = dataclasses.replace(
        script(tmp_path, "absent", ""),
        environment=Environment("absent", pins, tmp_path / "cache"),
        packages=("nothing",),
    )
    found = compare.compare([absent, script(tmp_path, "good", MADE_UP.format(""))], FEW)
    assert found.not_run["absent"].startswith("not installed: ERROR: ")
    assert "./nowhere" in found.not_run["absent"]
    assert found.turns.keys() == {"good"}
    assert not Environment("absent", pins, tmp_path / "cache").is_made


def test_one_whose_environment_has_no_place_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    environment = Environment("absent", tmp_path / "cache", cache=tmp_path / "cache" / "environments")
    found = compare.compare([dataclasses.replace(script(tmp_path, "absent", ""), environment=environment)], FEW)
    assert found.not_run["absent"].startswith("not installed: [Errno 20] Not a directory: ")


def test_ours_is_not_whole_where_it_did_not_run_or_lost_an_answer(tmp_path: Path) -> None:
    bad = dataclasses.replace(script(tmp_path, "bad", MADE_UP.format("del answers['q7']")), name="metis-flow")
    assert not compare.compare([bad], FEW).ours_is_whole
    broken = dataclasses.replace(script(tmp_path, "broken", "raise SystemExit(1)"), name="metis-flow")
    assert not compare.compare([broken], FEW).ours_is_whole


def test_peers_take_turns_in_another_order_each_round(tmp_path: Path) -> None:
    peers = [script(tmp_path, name, MADE_UP.format("")) for name in ("one", "two", "three")]
    said: list[str] = []
    compare.compare(peers, dataclasses.replace(FEW, rounds=3), said.append)
    assert [line.split(": ")[1] for line in said] == [
        *("one", "two", "three"),
        *("two", "three", "one"),
        *("three", "one", "two"),
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--only", "metis-flow,pandas"], "argument --only: pandas is none of metis-flow, post, create"),
        (["--rounds", "0"], "argument --rounds: invalid count value: '0'"),
        (["--latency", "5-1"], "argument --latency: invalid latency value: '5-1'"),
        (["--small", "--only", "curator"], "none of these has a part in --small"),
    ],
)
def test_what_cannot_be_compared_is_refused(capsys: pytest.CaptureFixture[str], words: list[str], reason: str) -> None:
    with pytest.raises(SystemExit):
        compare.main(words)
    assert reason in capsys.readouterr().err


def test_no_peer_gets_a_proxy_or_a_key_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a secret")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    tell = MADE_UP.format("import os; assert not {'OPENAI_API_KEY', 'http_proxy'} & os.environ.keys()")
    assert compare.compare([script(tmp_path, "good", tell)], FEW).not_run == {}
