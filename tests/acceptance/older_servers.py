"""Servers on loopback that the gateway is not: one that takes arrays of requests, a TLS front, and a proxy."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@dataclass
class ArrayServer:
    """Takes an array of requests in one body, and answers in the same order.

    Args:
        fails: questions that get an error among the answers, the first time.
    """

    fails: set[str] = field(default_factory=set)
    bodies: list[int] = field(default_factory=list)
    url: str = ""

    def answer(self, document: Any) -> Any:
        """The answers of one body."""
        many = isinstance(document, list)
        requests = document if many else [document]
        self.bodies.append(len(requests))
        found = [self._one(request) for request in requests]
        return found if many else found[0]

    def _one(self, request: dict[str, Any]) -> dict[str, Any]:
        question = request["messages"][-1]["content"]
        if question in self.fails:
            self.fails.remove(question)
            return {"error": {"code": "internal_error", "message": "try again"}}
        message = {"role": "assistant", "content": f"You said: {question}"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
        return {
            "id": "c", "object": "chat.completion", "model": request["model"], "choices": [choice], "usage": usage,
        }  # fmt: skip


@contextmanager
def array_server(**fields: Any) -> Iterator[ArrayServer]:
    """One that serves while the block runs."""
    server = ArrayServer(**fields)
    lock = threading.Lock()

    class Http(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"data": []})

        def do_POST(self) -> None:
            document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                self._send(server.answer(document))

        def _send(self, document: Any) -> None:
            content = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Http) as http:
        server.url = f"http://127.0.0.1:{http.server_port}/v1"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


@dataclass
class Tunnel:
    """A proxy that leads CONNECT to a TLS front of another server, and what it was asked and sent.

    Args:
        address: of the proxy.
        asked: the first line and headers of each request to it.
        passed: bytes that went through, as the proxy sees them.
    """

    address: str = ""
    asked: list[bytes] = field(default_factory=list)
    passed: bytearray = field(default_factory=bytearray)


@contextmanager
def tunnel(port: int, certificate: Path, key: Path) -> Iterator[Tunnel]:
    """A proxy while the block runs; whatever host is asked for, it is this server on loopback, behind TLS.

    Args:
        port: of the server, which speaks plain http.
        certificate, key: files of the TLS front.
    """
    found = Tunnel()
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def main() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        async def front(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _join(reader, writer, port)

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _join(reader, writer, secure.sockets[0].getsockname()[1], found.passed)

        secure = await asyncio.start_server(front, "127.0.0.1", 0, ssl=context)
        plain = await asyncio.start_server(proxy, "127.0.0.1", 0)
        found.address = f"http://127.0.0.1:{plain.sockets[0].getsockname()[1]}"
        ready.set()
        await ended.wait()
        plain.close()
        secure.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    ready.wait()
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, passed: bytearray | None = None
) -> None:
    """Hand bytes on in both directions until one side ends."""
    there, back = await asyncio.open_connection("127.0.0.1", port)

    async def hand(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                if passed is not None:
                    passed.extend(data)
                target.write(data)
                await target.drain()
        target.close()

    await asyncio.gather(hand(reader, back), hand(there, writer))


def make_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A certificate for a host, signed by itself, and its key: two files."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "host.pem", folder / "host.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    paths[1].write_bytes(private)
    return paths
