"""A chat-completions server that is cheap enough not to be what is measured.

It answers each question after a latency, with the first 400 characters of the question, so that every answer can be
told to be the right one. ``python -m benchmarks.server --latency 0.2-5.0`` prints one line of JSON with its address,
and ends with its standard input, so that nothing of it is left behind. `LoopbackServer` is that as a process.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODEL = "gpt-oss-120b"
ECHOED = 400
_CHARACTERS_A_TOKEN = 4


def answer_to(question: str) -> str:
    """What the server says to a question."""
    return f"You said: {question[:ECHOED]}"


@dataclass(frozen=True)
class Latency:
    """Seconds from a question to its answer: the same for the same question and seed.

    >>> Latency.parse("0.2-5.0").of("What is a band gap?")
    3.53…
    """

    least: float
    most: float
    seed: int = 0

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Latency:
        """``0.05``, or ``0.2-5.0`` for latencies spread evenly over these.

        Raises:
            ValueError: it is neither.
        """
        least, _, most = text.partition("-")
        latency = cls(float(least), float(most or least), seed)
        if not 0 <= latency.least <= latency.most < 3600:
            raise ValueError(f"{text!r} is no latency: write 0.05, or 0.2-5.0")
        return latency

    def of(self, question: str) -> float:
        """That of one question."""
        if self.least == self.most:
            return self.least
        digest = hashlib.blake2b(f"{self.seed} {question}".encode(), digest_size=8).digest()
        return self.least + (self.most - self.least) * int.from_bytes(digest, "big") / 2**64

    def __str__(self) -> str:
        return f"{self.least:g}" if self.least == self.most else f"{self.least:g}-{self.most:g}"


@dataclass
class Served:
    """What a server did since its counts were last set to nothing.

    Attributes:
        asked: questions that came.
        answered: those whose answer was sent; it is not, where the client has gone.
        in_flight: questions that wait for their answer.
        most_in_flight: at a time.
        first: when the first question came, by `time.monotonic`, which all processes of a machine share; None if none.
        last: when the last answer was sent.
        cpu: seconds that the server's process took.
    """

    asked: int = 0
    answered: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    first: float | None = None
    last: float | None = None
    cpu: float = 0.0

    @property
    def seconds(self) -> float:
        """From the first question to the last answer."""
        return 0.0 if self.first is None or self.last is None else self.last - self.first


class Book:
    """Counts for all connections; reads how far it has come on request."""

    def __init__(self, latency: Latency) -> None:
        self.latency = latency
        self.reset()

    def reset(self) -> None:
        """Set the counts to nothing."""
        self.served = Served()
        self._cpu = time.process_time()

    def read(self) -> Served:
        """The counts until now."""
        self.served.cpu = time.process_time() - self._cpu
        return self.served


class Connection(asyncio.Protocol):
    """One client's connection: one request at a time, kept open."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._busy = self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        self._go_on()

    def _go_on(self) -> None:
        while self._received and not self._busy and self._take_up():
            pass

    def _take_up(self) -> bool:
        """Begin with the next request, if all of it is there."""
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._received[:end].lower()
        start = head.find(b"\r\ncontent-length:")
        length = int(head[start + 17 :].partition(b"\r\n")[0]) if start >= 0 else 0
        if len(self._received) < end + 4 + length:
            return False
        body = self._received[end + 4 : end + 4 + length]
        self._received = self._received[end + 4 + length :]
        self._closing = b"\r\nconnection: close" in head
        method, path, _ = head.split(b" ", 2)
        if method == b"post" and path.endswith(b"/chat/completions"):
            self._ask(body)
        else:
            self._send(*self._other(method, path))
        return True

    def _ask(self, body: bytes) -> None:
        try:
            asked = json.loads(body)
            question = _text_of(asked["messages"][-1]["content"])
            model = str(asked["model"])
        except (ValueError, LookupError, TypeError) as error:
            self._send(400, _json({"error": {"message": f"no chat request: {error!r}"}}))
            return
        if asked.get("stream"):
            self._send(400, _json({"error": {"message": "this server does not stream"}}))
            return
        served = self._book.served
        served.asked += 1
        served.in_flight += 1
        served.most_in_flight = max(served.most_in_flight, served.in_flight)
        if served.first is None:
            served.first = time.monotonic()
        seconds = self._book.latency.of(question)
        if seconds:
            self._busy = True
            self._loop.call_later(seconds, self._answer_late, served, model, question)
        else:
            self._answer(served, model, question)

    def _answer_late(self, served: Served, model: str, question: str) -> None:
        self._busy = False
        self._answer(served, model, question)
        self._go_on()

    def _answer(self, served: Served, model: str, question: str) -> None:
        served.in_flight -= 1
        if self._transport.is_closing():
            return
        served.answered += 1
        self._send(200, _completion(model, question, served.answered))
        served.last = time.monotonic()

    def _other(self, method: bytes, path: bytes) -> tuple[int, bytes]:
        if method == b"get" and path.endswith(b"/models"):
            return 200, _json({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "nobody"}]})
        if method == b"get" and path == b"/counts":
            return 200, _json(asdict(self._book.read()))
        if method == b"post" and path == b"/reset":
            self._book.reset()
            return 200, b"{}"
        return 404, _json({"error": {"message": "no such address"}})

    def _send(self, status: int, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (status, b"OK" if status == 200 else b"Refused", len(body), body)
        )
        if self._closing:
            self._transport.close()


def _text_of(content: Any) -> str:
    """The text of a message, which may be written as a list of parts."""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _completion(model: str, question: str, number: int) -> bytes:
    said = answer_to(question)
    sent, came = len(question) // _CHARACTERS_A_TOKEN + 1, len(said) // _CHARACTERS_A_TOKEN + 1
    return (
        f'{{"id":"chatcmpl-{number}","object":"chat.completion","created":1700000000,"model":{json.dumps(model)},'
        f'"choices":[{{"index":0,"message":{{"role":"assistant","content":{json.dumps(said)}}},'
        f'"finish_reason":"stop"}}],'
        f'"usage":{{"prompt_tokens":{sent},"completion_tokens":{came},"total_tokens":{sent + came}}}}}'
    ).encode()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


async def serve(latency: Latency) -> None:
    """Serve until standard input ends; the address is printed first."""
    loop = asyncio.get_running_loop()
    book = Book(latency)
    server = await loop.create_server(lambda: Connection(book), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port}), flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    server.close()


class LoopbackServer:
    """The server as a process of its own, for the length of a ``with`` block.

    Args:
        latency: see `Latency.parse`.
        seed: of uneven latencies.

    >>> with LoopbackServer("0.05") as server:
    ...     use(server.url)
    ...     print(server.served().answered)
    """

    def __init__(self, latency: str = "0.05", *, seed: int = 0) -> None:
        self.latency = Latency.parse(latency, seed)

    def __enter__(self) -> LoopbackServer:
        options = ["--latency", str(self.latency), "--seed", str(self.latency.seed)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server", *options],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start: exit code {self._stop()}; its reason is on stderr")
        self._port = json.loads(line)["port"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> int:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        return self._process.wait()

    @property
    def url(self) -> str:
        """The `base_url` for the openai package."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def served(self) -> Served:
        """What it did since the last `reset`."""
        return Served(**self._request("GET", "/counts"))

    def reset(self) -> None:
        """Set its counts to nothing."""
        self._request("POST", "/reset")

    def _request(self, method: str, path: str) -> Mapping[str, Any]:
        # Without urllib, which would ask the environment for a proxy.
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path)
            found: Mapping[str, Any] = json.loads(connection.getresponse().read())
            return found
        finally:
            connection.close()

    def write_endpoint(self, folder: Path, name: str = "loopback", *, concurrency: int = 256) -> Path:
        """Write an endpoint file for metis-flow into a folder; no rates are set.

        Args:
            folder: that of the workflow, or another.
            name: of the endpoint, and of the file.
            concurrency: most calls in flight.
        """
        path = folder / f"{name}.yaml"
        lines = (
            "kind: openai",
            f"base_url: {self.url}",
            f"model: {MODEL}",
            "auth: {kind: none}",
            "supports: {response_format: no}",
            f"limits: {{concurrency: {concurrency}}}",
        )
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--latency", default="0.05", help="seconds, as 0.05 or 0.2-5.0")
    parser.add_argument("--seed", type=int, default=0, help="of uneven latencies")
    arguments = parser.parse_args()
    asyncio.run(serve(Latency.parse(arguments.latency, arguments.seed)))


if __name__ == "__main__":
    main()
