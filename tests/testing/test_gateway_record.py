"""The gateway against a record of the real one: 85 requests, and what came back for each."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from metis_flow.testing import Gateway, Model, Person, Reply

RECORD = Path(__file__).parent / "data" / "gateway-record.jsonl"
LINES = [json.loads(line) for line in RECORD.read_text().splitlines()]

NAMED = ["gpt-oss-120b-131072", "DeepSeek-R1-0528", "gpt-oss-120b", "tpm-small"]
NAMED += [f"fault-{name}" for name in ("echo", "slow", "slow20", "slow90", "html200", "refused", "pace", "dropmid")]
NAMED += ["fault-stall", "fault-sseerror", "fault-nodone"]
STATUSES = (400, 401, 404, 408, 413, 422, 429, 500, 502, 503, 504, 529)
MODELS = [
    # Of tpm-small, answers of 118 and 66 tokens were given, then no more: its limit lies between.
    Model(name, description=f"{name} on SN40L", tokens_per_minute_user=150 if name == "tpm-small" else None)
    for name in [*NAMED, *(f"fault-status-{status}" for status in STATUSES)]
]
FAULTS = {
    "fault-html200": "upstream_not_json",
    "fault-refused": "refused",
    "fault-dropmid": "dropped",
    "fault-stall": "stalled",
    "fault-sseerror": "sse_error",
    "fault-nodone": "no_done",
}
MALLORY = Person(id="m", name="Mallory Other", username="mallory@gmail.com", idp_name="Google")
NINA = Person(id="n", name="Nina Nogroup", username="nina@uchicago.edu", idp_name="uchicago.edu IdP")
SERVICE = Person(
    id="31882bef-da2f-50fc-8954-07f6f5a8ccdb",
    name="metis-flow service",
    username="5a5a5a5a-1111-4222-8333-444444444444@clients.auth.globus.org",
    groups=("11111111-aaaa-4aaa-8aaa-aaaaaaaaaaaa",),
    idp_id="clients.auth.globus.org",
    idp_name="https://auth.globus.org",
)


def echo(body: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": "echo"}
    return {
        "id": "echo",
        "object": "chat.completion",
        "created": 1,
        "model": "upstream-name",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50},
        "_got_body": body,
    }


@dataclass
class Replay:
    """Sends the requests of the record in order; its rule answers as the upstream did then."""

    gateway: Gateway = field(init=False)
    line: dict[str, Any] = field(init=False)

    def rule(self, body: dict[str, Any], n: int) -> Any:
        model = body["model"]
        if model == "fault-echo":
            return echo(body)
        if model in FAULTS:
            return Reply("one two ", fault=FAULTS[model])
        if model.startswith("fault-status-"):
            return Reply(fault=f"upstream_{model.rsplit('-', 1)[1]}")
        return json.loads(self.line["body"])

    def change(self, what: str | None) -> None:
        words = (what or "").split()
        if words[:1] == ["status"]:
            self.gateway.set_status(words[1], "" if words[2] == "_" else words[2], at_once=True)
        elif words[:1] == ["maintenance"]:
            self.gateway.set_maintenance("Metis is under maintenance." if words[1] == "on" else None)
        elif words == ["reset"]:
            for model in MODELS:
                self.gateway.set_status(model.name, "Live")
            self.gateway.reset()

    def send(self, line: dict[str, Any]) -> tuple[int, str, str]:
        self.line, request = line, line["request"]
        self.change(request.get("setup"))
        if request["name"].startswith("chat with "):  # some of the lines that changed the status are not in the record
            self.change(f"status DeepSeek-R1-0528 {request['name'].split()[2].replace('empty', '_')}")
        headers = dict(request.get("headers", {}))
        if request.get("token"):
            headers["Authorization"] = f"Bearer {request['token']}"
        connection = http.client.HTTPConnection(urlsplit(self.gateway.base_url).netloc, timeout=10)
        path = urlsplit(self.gateway.gateway_url).path + request["path"]
        connection.request(request["method"], path, self.body(request), headers)
        response = connection.getresponse()
        found = response.status, response.headers["Content-Type"], response.read().decode()
        connection.close()
        self.change(request.get("after"))
        return found

    @staticmethod
    def body(request: dict[str, Any]) -> bytes | None:
        if "raw" in request:
            return request["raw"].encode()
        body = request.get("body")
        length = re.fullmatch(r"<(\d+) characters>", body) if isinstance(body, str) else None
        if length:
            message = {"role": "user", "content": ""}
            empty = json.dumps({"model": "fault-echo", "messages": [message]})
            message["content"] = "x" * (int(length[1]) - len(empty))
            body = {"model": "fault-echo", "messages": [message]}
        return None if body is None else json.dumps(body).encode()


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    found = Replay()
    # The upstream's time limit was 3 s there, and pauses between requests kept the rates out of play.
    with Gateway(found.rule, models=MODELS, limits=None, speed=10, timeout=3) as found.gateway:
        issue = found.gateway.issue_token
        for name in ("tok-good", "tok-good2"):
            issue(value=name)
        issue(value="tok-service", person=SERVICE)
        issue(value="tok-expired-exp", problem="expired")
        issue(value="tok-wrongdomain", problem="domain", person=MALLORY)
        issue(value="tok-policy", problem="policy")
        issue(value="tok-nogroup", problem="group", person=NINA)
        issue(value="tok-nodep", problem="dependent")
        issue(value="tok-globus500", problem="introspection")
        yield found


def comparable(content_type: str, text: str) -> Any:
    """What does not change from time to time and place to place, as data where it is data."""
    text = re.sub(r"https?://[\w.:]+/[\w/.]*chat/completions", "<upstream>", text)
    text = re.sub(r"\('POST', 'https?://.*?\)\"", '(why)"', text)
    text = re.sub(r'"error_id": "[0-9a-f]{32}"', '"error_id": "<32 hex digits>"', text)
    if content_type.startswith("text/event-stream"):
        # How many pieces a text comes in is no matter.
        return [shape for shape, _ in groupby(event_shape(part) for part in text.split("\n\n") if part)]
    try:
        document = json.loads(text)
    except ValueError:
        return text
    if isinstance(document, dict):
        # Those two say how the recording was made.
        return {key: value for key, value in document.items() if key not in ("_got_headers", "_got_path")}
    return document


def event_shape(part: str) -> Any:
    if part == "data: [DONE]":
        return part
    event = json.loads(part.removeprefix("data: "))
    if event.get("id") == "chatcmpl-api-error":
        return {**event, "created": "<time>"}
    if "error" in event:
        return event
    choice = event["choices"][0]
    return {"keys": sorted(event), "finish_reason": choice["finish_reason"], "delta": "content" in choice["delta"]}


@pytest.mark.parametrize("line", LINES, ids=[line["request"]["name"].replace(" ", "_") for line in LINES])
def test_it_answers_as_the_real_gateway_did(replay: Replay, line: dict[str, Any]) -> None:
    status, content_type, text = replay.send(line)
    recorded_type = line["headers"]["content-type"]
    assert (status, content_type) == (line["status"], recorded_type)
    recorded = line["body"]
    if len(recorded) == 4000 and recorded.startswith('{"running"'):  # cut there by who recorded it
        assert text[:4000] == recorded
        return
    assert comparable(content_type, text) == comparable(recorded_type, recorded)


def test_the_whole_record_is_there() -> None:
    assert len(LINES) == 85
