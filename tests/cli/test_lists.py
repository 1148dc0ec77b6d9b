"""`endpoints`, `models`, `sites` and `tasks`."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_kit import Here, write_endpoint

from metis_flow.testing import Gateway, Model

SECRET = "the-secret-itself"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def row(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.split()[:1] == [name]]
    return cells(line)


def test_endpoints(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    Path("mine.yaml").write_text("kind: openai\nbase_url: http://127.0.0.1:9/v1\nauth: {kind: none}\nmodel: m\n")
    ended = here("endpoints")
    assert ended.code == 0
    assert row(ended.out, "embedded")[:4] == ["embedded", "in this process", "none", "SmolLM2-135M-Instruct"]
    assert row(ended.out, "mine") == ["mine", "http://127.0.0.1:9/v1", "none", "m", "mine.yaml"]
    assert row(ended.out, "openai")[:3] == ["openai", "$OPENAI_BASE_URL (not set)", "$OPENAI_API_KEY"]
    assert row(ended.out, "metis")[2] == "globus"
    document = here("endpoints", "--json").document
    names = [endpoint["name"] for endpoint in document["endpoints"]]
    assert {"embedded", "metis", "mine", "openai"} <= set(names)
    assert names == sorted(names)
    assert SECRET not in str(document) + ended.out


def test_endpoints_are_asked_when_that_is_wished(
    here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    with Gateway(lambda body, n: "fine", limits=None) as gateway:
        write_endpoint(gateway, Path.cwd())
        write_endpoint(gateway, Path.cwd(), "refused", auth={"kind": "none"})
        ended = here("endpoints", "--check", "--json")
    found = {endpoint["name"]: endpoint for endpoint in ended.document["endpoints"]}
    assert ended.code == 0
    assert (found["near"]["reachable"], found["near"]["answer"], found["near"]["who"]) == (
        True,
        "3 models",
        "ada@anl.gov",
    )
    assert found["refused"]["reachable"] is False
    assert found["embedded"]["answer"] == "1 model"
    assert found["metis"]["answer"] == "you are not logged in to Metis"


def test_an_endpoint_file_with_a_mistake_is_named(here: Here) -> None:
    Path("mine.yaml").write_text("kind: openai\nbase_url: http://127.0.0.1:9/v1\nmodle: m\n")
    ended = here("endpoints")
    assert ended.code == 2
    assert "mine.yaml:3:1: unknown key 'modle'" in ended.err


def test_models(here: Here) -> None:
    models = [Model("alpha", status="Live", description="the first"), Model("beta", status="Queued")]
    with Gateway(lambda body, n: "fine", limits=None, models=models) as gateway:
        write_endpoint(gateway, Path.cwd())
        ended = here("models", "--endpoint", "near")
        document = here("models", "--endpoint", "near", "--json").document
    assert ended.code == 0
    assert row(ended.out, "alpha")[:3] == ["alpha", "Live", "131,072"]
    assert row(ended.out, "beta")[1] == "Queued"
    assert document["endpoint"] == "near"
    assert [(model["name"], model["status"]) for model in document["models"]] == [("alpha", "Live"), ("beta", "Queued")]


def test_models_of_an_endpoint_that_is_not_there(here: Here) -> None:
    ended = here("models", "--endpoint", "metsi", "--json")
    assert ended.code == 2
    assert ended.document["error"]["hint"] == "did you mean 'metis'?"


def test_sites(here: Here) -> None:
    ended = here("sites")
    assert ended.code == 0
    assert row(ended.out, "local")[1].startswith("threads")
    names = [site["name"] for site in here("sites", "--json").document["sites"]]
    assert "local" in names


def test_tasks(here: Here) -> None:
    Path("mine.py").write_text(
        "from metis_flow import task\n\n\n@task\ndef double(number: float, twice: bool = False) -> float:\n"
        '    """Two of it.\n\n    And more.\n    """\n    return 2 * number\n'
    )
    ended = here("tasks")
    assert ended.code == 0
    assert row(ended.out, "double") == ["double", "number, twice?", "Two of it."]
    assert row(ended.out, "read_rows")[:2] == ["read_rows", "path, numbers?"]
    names = [task["name"] for task in here("tasks", "--json").document["tasks"]]
    assert names == sorted(names)
    assert {"count", "double", "join_text", "read_rows", "write_rows"} <= set(names)
    shown = here("tasks", "show", "double").out
    assert shown.startswith("double, version 1\n\nTwo of it.\n\nAnd more.\n")
    assert '  number: {"type": "number"}\n  twice?: {"type": "boolean"}, default false\n' in shown
    assert here("tasks", "show", "double", "--json").document["returns"] == {"type": "number"}


def test_a_task_that_is_not_there(here: Here) -> None:
    ended = here("tasks", "show", "read_row")
    assert ended.code == 2
    assert ended.err == "there is no task 'read_row'\n  hint: did you mean 'read_rows'?\n"
