"""Whole runs on other servers, and by the older ways to name one: sourced files, variables, arrays, proxies."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from acceptance_kit import Desk, Here, answers, recorded, write_endpoint
from older_servers import array_server, make_certificate, tunnel

from metis_flow.api import Run, Workflow
from metis_flow.testing import Gateway

HOST = "metis.example.org"


def run(desk: Desk, endpoint: str) -> Run:
    """The workflow of the desk, to its end."""
    return Workflow.load(desk.folder / "trial.yaml").run(endpoint=endpoint, runs_dir=desk.folder / "runs")


def array_endpoint(desk: Desk, url: str) -> str:
    content = {
        "kind": "openai",
        "base_url": url,
        "supports": {"array_of_requests": True},
        "requests_per_body": 4,
        "limits": {"concurrency": 12},
    }
    return str(desk.write("arrays.yaml", yaml.safe_dump(content)))


def test_several_requests_in_one_body(desk: Desk) -> None:
    desk.questions(12)
    with array_server() as server:
        found = run(desk, array_endpoint(desk, server.url))
    assert found.status == "done"
    assert recorded(found) == answers(12)
    assert sum(server.bodies) == 12
    assert 1 < max(server.bodies) <= 4


def test_a_single_failed_one_of_a_body_is_sent_again_alone(desk: Desk) -> None:
    desk.questions(8)
    with array_server(fails={"Question 5?"}) as server:
        found = run(desk, array_endpoint(desk, server.url))
    assert found.status == "done"
    assert recorded(found) == answers(8)
    assert sum(server.bodies) == 9
    assert server.bodies[-1] == 1


def test_a_gateway_that_refuses_arrays_is_asked_one_by_one(desk: Desk) -> None:
    desk.questions(8)
    with Gateway(limits=None) as gateway:
        fields = {"supports": {"array_of_requests": True}, "requests_per_body": 4}
        found = run(desk, str(write_endpoint(gateway, desk.folder, **fields)))
        assert gateway.counts.statuses[422] >= 1
        assert gateway.counts.answered == 8
    assert found.status == "done"
    assert recorded(found) == answers(8)


def test_a_sourced_file(desk: Desk, here: Here) -> None:
    desk.questions(3, model=None)
    with Gateway(limits=None) as gateway:
        lines = [
            "# for bash",
            f"export BASE_URL={gateway.openai_url}",
            f'export SAMBANOVA_API_KEY="{gateway.token}"',
            "export MODELS='gpt-oss-120b,DeepSeek-R1-0528'",
        ]
        desk.write("metis_endpoint_1.txt", "\n".join(lines) + "\n")
        ended = here("run", "trial.yaml", "--endpoint", "./metis_endpoint_1.txt", "--json")
        assert {call.body["model"] for call in gateway.calls if call.body} == {"gpt-oss-120b"}
        token = gateway.token
    assert ended.code == 0, ended.err
    found = Run.open(ended.document["record"])
    assert recorded(found) == answers(3)
    assert not any(token.encode() in path.read_bytes() for path in found.folder.path.rglob("*") if path.is_file())


def test_variables_of_openai(desk: Desk, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.questions(3, model=None)
    with Gateway(limits=None) as gateway:
        environment = {
            "OPENAI_BASE_URL": gateway.openai_url,
            "OPENAI_API_KEY": gateway.token,
            "MODEL_NAME": "DeepSeek-R1-0528",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        ended = here("run", "trial.yaml", "--endpoint", "openai", "--json")
        assert {call.body["model"] for call in gateway.calls if call.body} == {"DeepSeek-R1-0528"}
    assert ended.code == 0, ended.err
    assert ended.document["calls"] == 3


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return make_certificate(tmp_path, HOST)


def test_https_through_the_proxy_of_the_environment(desk: Desk, certificate: tuple[Path, Path]) -> None:
    """As on a compute node: the proxy alone knows the way, and sees neither the token nor the questions."""
    desk.questions(3)
    with Gateway(limits=None) as gateway, tunnel(urlsplit(gateway.base_url).port or 0, *certificate) as proxy:
        addresses = {
            name: address.replace(gateway.base_url, f"https://{HOST}")
            for name, address in {"base_url": gateway.openai_url, "gateway": gateway.gateway_url}.items()
        }
        write_endpoint(gateway, desk.folder, **addresses)
        environment = {"https_proxy": proxy.address, "SSL_CERT_FILE": str(certificate[0])}
        ended = desk.call("run", "trial.yaml", "--endpoint", "near.yaml", "--json", env=environment)
        assert ended.code == 0, ended.err
        assert gateway.counts.answered == 3
        token = gateway.token.encode()
    assert proxy.asked
    assert all(asked.startswith(f"CONNECT {HOST}:443 ".encode()) for asked in proxy.asked)
    assert len(proxy.passed) > 1000
    for secret in (token, b"Question"):
        assert secret not in b"".join(proxy.asked)
        assert secret not in proxy.passed


def test_a_certificate_that_nobody_vouches_for_is_refused(
    desk: Desk, here: Here, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.questions(1)
    with Gateway(limits=None) as gateway, tunnel(urlsplit(gateway.base_url).port or 0, *certificate) as proxy:
        write_endpoint(gateway, desk.folder, base_url=f"https://{HOST}/resource_server/metis/api/v1", gateway=None)
        monkeypatch.setenv("https_proxy", proxy.address)
        ended = here("run", "trial.yaml", "--endpoint", "near.yaml")
        assert gateway.counts.total == 0
    assert ended.code == 1
    assert f"the certificate of {HOST} is not one that this machine trusts" in ended.err
