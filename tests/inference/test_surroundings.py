"""The proxy of the environment, and whom a connection trusts."""

from __future__ import annotations

import asyncio
import ssl
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from inference_kit import HastyClock, Server, completion, get, opened, serving

from metis_flow.errors import ConfigError
from metis_flow.inference import errors, surroundings
from metis_flow.inference.endpoints import EndpointConfig
from metis_flow.inference.surroundings import Proxy, certificates, proxy_for


def endpoint(base_url: str) -> EndpointConfig:
    return Server(base_url).endpoint()


METIS = "https://inference-api.example.org/v1"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy.alcf.anl.gov:3128"}, "http://proxy.alcf.anl.gov:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128/"}, "http://proxy:3128"),
        ({"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ({"all_proxy": "http://proxy:1"}, "http://proxy:1"),
        ({"http_proxy": "http://proxy:1"}, None),
        ({"https_proxy": "http://proxy:1", "no_proxy": "localhost,.example.org"}, None),
        ({"https_proxy": "http://proxy:1", "no_proxy": "*"}, None),
        ({"https_proxy": "http://proxy:1", "no_proxy": "elsewhere.org"}, "http://proxy:1"),
        ({"https_proxy": ""}, None),
    ],
)
def test_the_proxy_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], address: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(METIS)
    assert (found.address if found is not None else None) == address


def test_a_name_and_password_for_the_proxy_stay_out_of_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://ada:se%40cret@proxy:3128")
    found = proxy_for(METIS)
    assert found == Proxy("http://proxy:3128", {"Proxy-Authorization": "Basic YWRhOnNlQGNyZXQ="})
    assert "YWRh" not in repr(found)


def test_a_proxy_of_another_kind_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://ada:secret@proxy:1080")
    with pytest.raises(ConfigError) as caught:
        proxy_for(METIS)
    assert caught.value.summary == "the proxy of the environment is of the kind 'socks5', which cannot be used here"
    assert caught.value.hint == "set https_proxy to an http:// address, or add inference-api.example.org to no_proxy"


def test_what_the_proxy_is_told_and_what_an_error_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> errors.ProxyTrouble:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://ada:topsecret@127.0.0.1:{port}")
        async with server, opened(endpoint(METIS), clock=HastyClock()) as inference:
            with pytest.raises(errors.ProxyTrouble) as caught:
                await get(inference)
            return caught.value

    error = asyncio.run(main())
    assert b"Proxy-Authorization: Basic YWRhOnRvcHNlY3JldA==" in seen[0]
    for text in (error.render(), repr(error), str(error.as_dict())):
        assert "topsecret" not in text
        assert "YWRhOnRvcHNlY3JldA" not in text


def test_certificates_are_found_where_python_looks_in_vain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert certificates().verify_mode == ssl.CERT_REQUIRED
    empty = tmp_path / "certs"
    empty.mkdir()
    nowhere = ssl.DefaultVerifyPaths(None, str(empty), "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")
    monkeypatch.setattr(surroundings.ssl, "get_default_verify_paths", lambda: nowhere)
    monkeypatch.setattr(surroundings.ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context = certificates()
    assert len(context.get_ca_certs()) > 50
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


def own_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a neighbour")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "own.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*plain))
    return path


def test_a_certificate_counts_where_the_user_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = own_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(path)

    async def ask() -> str:
        async with (
            serving(lambda body, n: completion("over https"), tls=tls) as server,
            opened(server.endpoint(), clock=HastyClock()) as inference,
        ):
            return (await get(inference)).text

    with pytest.raises(errors.CertificateRefused) as caught:
        asyncio.run(ask())
    assert caught.value.hint == "check the address; a site's own certificates are named by SSL_CERT_FILE"
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert asyncio.run(ask()) == "over https"


def test_a_file_of_certificates_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    with pytest.raises(ConfigError) as caught:
        certificates()
    assert caught.value.summary == f"SSL_CERT_FILE names '{tmp_path}/gone.pem', and there is no such file"
