"""Model list, status, maintenance."""

from __future__ import annotations

from typing import Any

import pytest

from metis_flow.testing import Gateway, Model, Person

TWO = [Model("gpt-oss-120b-131072", description="a"), Model("DeepSeek-R1-0528", description="b", context_window=None)]
CHAT = {"model": "DeepSeek-R1-0528", "messages": []}


def job(name: str, word: str, description: str, version: str) -> dict[str, str]:
    return {
        "Models": name,
        "Framework": "api",
        "Cluster": "metis",
        "Model Status": word,
        "Description": description,
        "Model Version": version,
    }


def test_the_list_of_models(send: Any) -> None:
    with Gateway(models=TWO) as gateway:
        first, second = send(gateway, "/metis/models").json
        assert first == {
            "id": "gpt-oss-120b-131072",
            "object": "model",
            "cluster": "metis",
            "framework": "api",
            "capabilities": {
                "schema_version": 1,
                "api_protocols": ["chat_completions"],
                "context_window_tokens": 131072,
            },
            "rate_limit_token_per_minute": 100000,
            "rate_limit_token_per_minute_per_user": 60000,
        }
        assert "capabilities" not in second
        assert send(gateway, "/metis/models?model_id=DeepSeek-R1-0528").json == [second]
        got = send(gateway, "/metis/models?model_id=deepseek-r1-0528")
        assert (got.status, got.code) == (404, "endpoint_not_found")


def test_list_endpoints_names_all_models_in_order(send: Any) -> None:
    with Gateway(models=TWO) as gateway:
        gateway.set_status("DeepSeek-R1-0528", None, at_once=True)
        models = ["DeepSeek-R1-0528", "gpt-oss-120b-131072"]
        frameworks = {"api": {"models": models, "endpoints": ["/v1/chat/completions"]}}
        expected = {"clusters": {"metis": {"base_url": "/resource_server/metis", "frameworks": frameworks}}}
        assert send(gateway, "/list-endpoints").json == expected


@pytest.mark.parametrize(
    ("status", "place", "word"),
    [("Live", "running", "running"), ("Starting", "queued", "starting"), ("Queued", "queued", "queued"),
     ("Offline", "queued", "offline"), ("", "queued", ""), ("Stopped", "stopped", "stopped")],
)  # fmt: skip
def test_jobs_shows_each_status(send: Any, status: str, place: str, word: str) -> None:
    with Gateway(models=[TWO[0], Model("DeepSeek-R1-0528", status=status, description="b")]) as gateway:
        jobs = send(gateway, "/metis/jobs").json
        live = status == "Live"
        assert jobs[place][-1] == job("DeepSeek-R1-0528", word, "DeepSeek-R1-0528 - b", "1" if live else "")
        assert jobs["cluster_status"] == {
            "cluster": "metis",
            "total_models": 2,
            "live_models": 2 if live else 1,
            "stopped_models": 1 if status == "Stopped" else 0,
        }
        assert (send(gateway, body=CHAT).status == 200) == live


def test_a_model_that_is_not_live_is_refused(send: Any) -> None:
    with Gateway(models=TWO) as gateway:
        gateway.set_status("DeepSeek-R1-0528", None)
        assert [one["Models"] for one in send(gateway, "/metis/jobs").json["running"]] == ["gpt-oss-120b-131072"]
        got = send(gateway, body=CHAT)
        assert (got.status, got.code) == (503, "internal_endpoint_error")
        assert got.message == "'DeepSeek-R1-0528' is not currently live on Metis."


def test_a_status_is_kept_for_a_minute(send: Any) -> None:
    with Gateway(models=TWO, limits=None, speed=200) as gateway:
        assert send(gateway, body=CHAT).status == 200
        gateway.set_status("DeepSeek-R1-0528", "Offline")
        while send(gateway, body=CHAT).status == 200:
            pass
        gateway.set_status("DeepSeek-R1-0528", "Live", at_once=True)
        assert send(gateway, body=CHAT).status == 200
    with Gateway(models=TWO, limits=None) as gateway:
        assert send(gateway, body=CHAT).status == 200
        gateway.set_status("DeepSeek-R1-0528", "Offline")
        assert send(gateway, body=CHAT).status == 200


@pytest.mark.parametrize(("page", "status"), [("broken", 500), ("not_an_object", 500), ("timeout", 504)])
def test_a_broken_status_page_is_seen_when_the_kept_one_is_old(send: Any, page: str, status: int) -> None:
    with Gateway(limits=None) as gateway:
        assert send(gateway).status == 200
        gateway.set_status_page(page)
        assert send(gateway).status == 200
        gateway.set_status_page(page, at_once=True)
        for got in (send(gateway), send(gateway, "/metis/jobs")):
            assert (got.status, got.code) == (status, "failed_to_get_cluster_jobs")
        gateway.set_status_page("ok")
        assert send(gateway).status == 200


def test_maintenance(send: Any) -> None:
    with Gateway(models=TWO) as gateway:
        gateway.set_maintenance("Metis is down until noon.")
        assert send(gateway, "/status", token=None).json == {"metis": False}
        jobs = send(gateway, "/metis/jobs").json
        names = ["DeepSeek-R1-0528", "gpt-oss-120b-131072"]
        assert jobs["stopped"] == [{"Models": name, "Framework": "api", "Cluster": "metis"} for name in names]
        assert jobs["cluster_status"] == {}
        got = send(gateway, body=CHAT)
        assert (got.status, got.code, got.message) == (503, "cluster_under_maintenance", "Metis is down until noon.")
        gateway.set_maintenance(None)
        assert send(gateway, body=CHAT).status == 200


def test_a_model_of_a_group_is_hidden_and_refused(send: Any) -> None:
    with Gateway(models=[*TWO, Model("secret", groups=["g1"])]) as gateway:
        member = gateway.issue_token(person=Person(id="2", groups=["g1"]))
        ask = {"model": "secret", "messages": []}
        got = send(gateway, body=ask)
        assert (got.status, got.code) == (401, "unauthorized")
        assert got.message == "Permission denied due to Globus Group restrictions."
        assert send(gateway, body=ask, token=member).status == 200
        assert len(send(gateway, "/metis/models").json) == 2
        assert len(send(gateway, "/metis/models", token=member).json) == 3


def test_an_unknown_model_of_a_test_is_an_error() -> None:
    with Gateway(models=TWO) as gateway, pytest.raises(ValueError, match="no model is called 'gpt'; known: gpt-oss"):
        gateway.set_status("gpt", "Live")
