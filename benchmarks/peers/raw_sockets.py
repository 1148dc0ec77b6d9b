"""As little as can be: bytes written beforehand, and read without understanding them until the end.

It stands for no library. It shows how fast the server is, which is then not what the others wait for.
"""

import asyncio
import json
import resource
from collections.abc import Iterator
from urllib.parse import urlsplit

from job import MAX_TOKENS, MODEL, Job

Prepared = tuple[str, bytes]


class Line(asyncio.Protocol):
    """One connection, which asks one question after the other."""

    def __init__(self, left: Iterator[Prepared], bodies: dict[str, bytes], ended: asyncio.Future[None]) -> None:
        self._left = left
        self._bodies = bodies
        self._ended = ended
        self._received = b""
        self._name = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        self._name, request = next(self._left, ("", b""))
        if request:
            self._transport.write(request)
        else:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) == int(head.rpartition(b"Content-Length: ")[2]):
            self._bodies[self._name] = body
            self._received = b""
            self._next()

    def connection_lost(self, _: Exception | None) -> None:
        self._ended.set_result(None)


def prepared(job: Job) -> Iterator[Prepared]:
    place = urlsplit(job.url)
    for name, text in job.questions.items():
        body = json.dumps(
            {
                "model": MODEL,
                "messages": [{"role": "user", "content": text}],
                "temperature": 0,
                "max_tokens": MAX_TOKENS,
            }
        ).encode()
        head = f"POST {place.path}/chat/completions HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {len(body)}"
        yield name, head.encode() + b"\r\n\r\n" + body


async def main(job: Job) -> None:
    loop = asyncio.get_running_loop()
    place = urlsplit(job.url)
    left = iter(list(prepared(job)))
    bodies: dict[str, bytes] = {}
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(job.in_flight)]
    for ended in ends:
        line = Line(left, bodies, ended)
        await loop.create_connection(lambda line=line: line, place.hostname or "", place.port or 0)  # type: ignore[misc]
    await asyncio.gather(*ends)
    job.write({name: json.loads(body)["choices"][0]["message"]["content"] for name, body in bodies.items()})


most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
asyncio.run(main(Job.from_arguments()))
