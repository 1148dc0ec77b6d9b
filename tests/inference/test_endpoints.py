"""Endpoint files: which one a name means, and what a file may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from metis_flow.errors import ConfigError
from metis_flow.inference.endpoints import find_endpoint, list_endpoints
from metis_flow.inference.tokens import take_secrets


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def test_the_packaged_ones_are_there() -> None:
    assert {"metis", "openai", "embedded"} <= {endpoint.name for endpoint in list_endpoints()}
    metis = find_endpoint("metis")
    assert metis.address == "https://inference-api.alcf.anl.gov/resource_server/metis/api/v1"
    assert metis.cluster == "metis"
    assert metis.auth.kind == "globus"
    assert metis.limits.requests_per_second == 10
    assert metis.limits.tokens_per_minute.user == 60_000
    assert metis.limits.tokens_per_minute.least == 60_000
    assert metis.limits.timeout == 150.0
    assert metis.supports.array_of_requests == "no"
    assert find_endpoint("embedded").limits.requests_per_second is None


def test_the_later_folder_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    text = "kind: openai\nbase_url: https://{}/v1\n"
    write(tmp_path / "config/metis-flow/endpoints", "metis.yaml", text.format("mine"))
    assert find_endpoint("metis").base_url == "https://mine/v1"
    beside = tmp_path / "study"
    write(beside, "metis.yaml", text.format("beside"))
    assert find_endpoint("metis", beside=beside).base_url == "https://beside/v1"
    write(beside / "endpoints", "metis.yaml", text.format("folder"))
    assert find_endpoint("metis", beside=beside).base_url == "https://folder/v1"


def test_a_workflow_beside_is_no_endpoint(tmp_path: Path) -> None:
    write(tmp_path, "metis.yaml", "version: 1\nname: metis\nsteps: {}\n")
    assert find_endpoint("metis", beside=tmp_path).auth.kind == "globus"


def test_a_path_is_used_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, "x.yaml", "kind: openai\nbase_url: http://localhost:8000/v1/\n")
    endpoint = find_endpoint(str(path))
    assert (endpoint.name, endpoint.address, endpoint.source) == ("x", "http://localhost:8000/v1", path)
    with pytest.raises(ConfigError, match=r"^there is no endpoint file nowhere\.yaml$"):
        find_endpoint("nowhere.yaml")


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        find_endpoint("metsi")
    assert caught.value.summary == "there is no endpoint 'metsi'"
    assert caught.value.hint == "did you mean 'metis'?"


def test_the_environment_names_the_address_the_key_and_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = find_endpoint("openai")
    with pytest.raises(ConfigError) as caught:
        _ = endpoint.address
    assert caught.value.summary == (
        "the endpoint 'openai' needs the environment variable OPENAI_BASE_URL, which is not set"
    )
    assert caught.value.hint == "type: export OPENAI_BASE_URL=https://…/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("MODEL_NAME", "gpt-oss-120b")
    endpoint = find_endpoint("openai")
    assert (endpoint.address, endpoint.model) == ("http://127.0.0.1:9/v1", "gpt-oss-120b")
    with pytest.raises(ConfigError) as caught:
        take_secrets(endpoint)
    assert caught.value.hint == "type: export OPENAI_API_KEY=…"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://far.example.org/v1")
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL: 'base_url': a token is not sent over plain http"):
        find_endpoint("openai")


def test_a_sourced_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_URL", "https://sn40l.example.org/v1")
    monkeypatch.setenv("SAMBANOVA_API_KEY", "s3cret-key")
    monkeypatch.setenv("MODELS", "gpt-oss-120b,DeepSeek-R1-0528")
    endpoint = find_endpoint("sambanova")
    assert endpoint.address == "https://sn40l.example.org/v1"
    assert (endpoint.model, endpoint.models) == ("gpt-oss-120b", ("gpt-oss-120b", "DeepSeek-R1-0528"))
    assert take_secrets(endpoint).token() == "s3cret-key"


MISTAKES = [
    ("kind: opnai\n", "Input should be 'openai' or 'embedded'", None),
    ("base_url: https://h/v1\n", "'kind' is missing", "add 'kind: …'"),
    ("kind: openai\n", "needs 'base_url: https://…'", None),
    ("kind: openai\nbase_ulr: https://h/v1\n", "unknown key 'base_ulr'", "did you mean 'base_url'?"),
    ("kind: openai\nbase_url: https://h/v1\nlimits: {timout: 3}\n", "unknown key 'timout'", "did you mean 'timeout'?"),
    ("kind: openai\nbase_url: ftp://h\n", "should be an address such as https://host/v1", None),
    ("kind: openai\nbase_url: https://me:pw@h/v1\n", "should hold no user name or password", None),
    ("kind: openai\nbase_url: https://h/v1?key=1\n", "without '?' or '#'", None),
    ("kind: openai\nbase_url: https://h/v1\nauth: {kind: env}\n", "needs 'variable: …'", None),
    ("kind: openai\nbase_url: https://h/v1\nrequests_per_body: 4\n", "array_of_requests: yes", None),
    ("kind: openai\nbase_url: https://h/v1\ngateway: https://g\n", "'base_url' should lie below 'gateway'", None),
    ("kind: openai\nbase_url: http://h/v1\nauth: {kind: globus}\ninsecure_http: true\n", "only sent over https", None),
    ("kind: openai\nbase_url: http://h/v1\nauth: {kind: env, variable: K}\n", "not sent over plain http to h", None),
    ("kind: openai\nbase_url: http://127.0.0.1.evil.org/v1\nauth: {kind: globus}\n", "only sent over https", None),
    ("kind: openai\nkind: openai\n", "kind", None),
    ("- a\n", "the file should hold an object", None),
]


@pytest.mark.parametrize(("text", "summary", "hint"), MISTAKES)
def test_a_mistake_is_shown_with_its_place(tmp_path: Path, text: str, summary: str, hint: str | None) -> None:
    path = write(tmp_path, "e.yaml", text)
    with pytest.raises(ConfigError) as caught:
        find_endpoint(str(path))
    assert summary in caught.value.summary
    assert caught.value.where is not None
    assert caught.value.where.startswith(f"{path}:")
    assert hint is None or caught.value.hint == hint


@pytest.mark.parametrize(
    "text",
    [
        "base_url: http://127.0.0.1:1/v1\nauth: {kind: globus}",
        "base_url: http://[::1]:1/v1\nauth: {kind: globus}",
        "base_url: http://localhost/v1\nauth: {kind: env, variable: K}",
        "base_url: http://node7:8000/v1\nauth: {kind: env, variable: K}\ninsecure_http: true",
        "base_url: http://node7:8000/v1\nauth: {kind: none}",
        "base_url: https://anywhere.org/v1\nauth: {kind: globus}",
    ],
)
def test_where_a_token_may_go(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, "e.yaml", f"kind: openai\n{text}\n")
    assert find_endpoint(str(path)).name == "e"


def test_words_and_numbers_as_people_write_them(tmp_path: Path) -> None:
    text = """\
kind: openai
base_url: https://h/v1
supports: {response_format: no, array_of_requests: true}
requests_per_body: 4
models: [a, b]
limits: {requests_per_second: 2.5, tokens_per_minute: 30_000, timeout: 2m}
"""
    endpoint = find_endpoint(str(write(tmp_path, "e.yaml", text)))
    assert endpoint.supports.response_format == "no"
    assert endpoint.supports.array_of_requests == "yes"
    assert endpoint.limits.tokens_per_minute.least == 30_000
    assert endpoint.limits.timeout == 120.0
    assert endpoint.models == ("a", "b")


def test_a_sourced_file_is_read_and_not_run(tmp_path: Path) -> None:
    text = f"""\
# endpoint 1
export BASE_URL="https://sn40l.example.org/v1"
export SAMBANOVA_API_KEY='s3cret-key'   # do not share
MODELS="gpt-oss-120b, DeepSeek-R1-0528"
HOME_OF=$HOME
touch {tmp_path}/ran
export BASE_URL_2=`touch {tmp_path}/ran`
"""
    endpoint = find_endpoint(str(write(tmp_path, "metis_endpoint_1.txt", text)))
    assert endpoint.address == "https://sn40l.example.org/v1"
    assert endpoint.models == ("gpt-oss-120b", "DeepSeek-R1-0528")
    assert endpoint.model == "gpt-oss-120b"
    assert "s3cret" not in repr(endpoint)
    assert take_secrets(endpoint).token() == "s3cret-key"
    assert not (tmp_path / "ran").exists()


def test_a_sourced_file_without_an_address(tmp_path: Path) -> None:
    path = write(tmp_path, "e.txt", "SAMBANOVA_API_KEY=k\n")
    with pytest.raises(ConfigError, match="the file assigns no BASE_URL"):
        find_endpoint(str(path))
    path = write(tmp_path, "f.txt", "BASE_URL=http://far.org/v1\nSAMBANOVA_API_KEY=k\n")
    with pytest.raises(ConfigError, match=r"BASE_URL.*not sent over plain http"):
        find_endpoint(str(path))
