"""The cluster's models: which there are, which are live, and the documents that say so."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from metis_flow.testing.gateway.clock import Clock
from metis_flow.testing.gateway.options import CLUSTER, FRAMEWORK, Model, Person
from metis_flow.testing.gateway.rates import Rates
from metis_flow.testing.gateway.shapes import Refusal, coded, endpoint_error

STATUS_KEPT_FOR = 60.0  # gateway seconds that the status page is cached
STATUS_URL = "https://metis.alcf.anl.gov/status"
STATUS_PAGES = ("ok", "broken", "timeout", "not_an_object")


def slug(text: str) -> str:
    """The name under which the gateway looks up a model: case and spaces do not matter, "/" and "." are dropped.

    >>> slug("metis api openai/GPT oss-120b")
    'metis-api-openaigpt-oss-120b'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain)).strip("-_")


class Models:
    """The models, their statuses, and whether the cluster is under maintenance. One event loop uses it."""

    def __init__(self, clock: Clock, rates: Rates, models: Sequence[Model], *, any_model: bool = False) -> None:
        self._clock = clock
        self._rates = rates
        self._models = {model.name: model for model in models}
        self._by_slug = {self._slug(model.name): model.name for model in models}
        self._any_model = any_model
        self._kept: tuple[float, dict[str, Model]] | None = None  # until when, the status page
        self.maintenance: str | None = None
        self.status_page = "ok"

    @staticmethod
    def _slug(name: str) -> str:
        return slug(f"{CLUSTER} {FRAMEWORK} {name.lower()}")

    # -- what a test changes

    def set_status(self, name: str, status: str) -> None:
        """Give a model another status on the status page.

        Raises:
            ValueError: there is no such model.
        """
        self._models[name] = replace(self._named(name), status=status)

    def set_on_status_page(self, name: str, shown: bool) -> None:
        """Let the status page know a model, or not.

        Raises:
            ValueError: there is no such model.
        """
        self._models[name] = replace(self._named(name), on_status_page=shown)

    def forget_status(self) -> None:
        """Drop the cached status page."""
        self._kept = None

    def _named(self, name: str) -> Model:
        if name not in self._models:
            raise ValueError(f"no model is called {name!r}; known: {', '.join(self._models)}")
        return self._models[name]

    # -- what the routes ask

    def find(self, requested: str) -> Model:
        """The model that a request means.

        Raises:
            Refusal: 404 endpoint_not_found.
        """
        name = self._by_slug.get(self._slug(requested))
        if name is None and self._any_model:
            name = self._by_slug[self._slug(requested)] = requested
            self._models[name] = Model(name)
            self.forget_status()
        if name is None:
            text = f"The requested endpoint {self._slug(requested)!r} does not exist."
            raise coded("404_model", 404, "endpoint_not_found", text)
        return self._models[name]

    def check_permission(self, model: Model, person: Person) -> None:
        """Look whether a person may use a model.

        Raises:
            Refusal: 401.
        """
        if not self._may(model, person):
            raise coded("401_model", 401, "unauthorized", "Permission denied due to Globus Group restrictions.")

    @staticmethod
    def _may(model: Model, person: Person) -> bool:
        return not model.groups or bool(set(model.groups) & set(person.groups))

    def check_maintenance(self) -> None:
        """Look whether the cluster is under maintenance.

        Raises:
            Refusal: 503.
        """
        if self.maintenance is not None:
            raise under_maintenance(self.maintenance)

    def check_live(self, model: Model) -> None:
        """Look whether a model is live, as far as the cached status page knows.

        Raises:
            Refusal: 503, or 500 or 504 when the status page is broken.
        """
        shown = self._status().get(model.name)
        if shown is None or shown.status != "Live":
            raise not_live(model)

    def _status(self) -> dict[str, Model]:
        now = self._clock.now()
        if self._kept is None or self._kept[0] <= now:
            if self.status_page != "ok":
                raise status_page_failure(self.status_page)
            page = {name: model for name, model in self._models.items() if model.on_status_page}
            self._kept = (now + STATUS_KEPT_FOR, page)
        return self._kept[1]

    def jobs(self, person: Person) -> dict[str, Any]:
        """The document of ``/metis/jobs``.

        Raises:
            Refusal: 500 or 504 when the status page is broken.
        """
        lists: dict[str, list[dict[str, Any]]] = {name: [] for name in _LISTS}
        if self.maintenance is not None:
            names = sorted(self._visible(person))
            lists["stopped"] = [{"Models": n, "Framework": FRAMEWORK, "Cluster": CLUSTER} for n in names]
            return {**lists, "cluster_status": {}}
        page = self._status()
        for model in page.values():
            if self._may(model, person):
                lists[_LIST_OF.get(model.status, "queued")].append(_job(model))
        statuses = [model.status for model in page.values()]
        return {
            **lists,
            "cluster_status": {
                "cluster": CLUSTER,
                "total_models": len(statuses),
                "live_models": statuses.count("Live"),
                "stopped_models": statuses.count("Stopped"),
            },
        }

    def _visible(self, person: Person) -> list[str]:
        return [name for name, model in self._models.items() if self._may(model, person)]

    def list_endpoints(self, person: Person) -> dict[str, Any]:
        """The document of ``/list-endpoints``."""
        framework = {"models": sorted(self._visible(person)), "endpoints": ["/v1/chat/completions"]}
        frameworks = {FRAMEWORK: framework} if framework["models"] else {}
        return {"clusters": {CLUSTER: {"base_url": f"/resource_server/{CLUSTER}", "frameworks": frameworks}}}

    def details(self, person: Person, model_id: str | None) -> list[dict[str, Any]]:
        """The document of ``/metis/models``.

        Args:
            person: who asks.
            model_id: the exact id of the only one to show.

        Raises:
            Refusal: 404 endpoint_not_found.
        """
        visible = self._visible(person)
        if model_id is not None:
            if model_id not in visible:
                text = f"{model_id} model not found on cluster {CLUSTER}."
                raise coded("404_model", 404, "endpoint_not_found", text)
            visible = [model_id]
        return [self._detail(self._models[name]) for name in visible]

    def _detail(self, model: Model) -> dict[str, Any]:
        found: dict[str, Any] = {"id": model.name, "object": "model", "cluster": CLUSTER, "framework": FRAMEWORK}
        if model.context_window is not None:
            found["capabilities"] = {
                "schema_version": 1,
                "api_protocols": ["chat_completions"],
                "context_window_tokens": model.context_window,
            }
        of_user, of_model = self._rates.limits_of(model)
        if of_model:
            found["rate_limit_token_per_minute"] = of_model
        if of_user:
            found["rate_limit_token_per_minute_per_user"] = of_user
        return found


_LISTS = ("running", "queued", "stopped", "others", "private_batch_running", "private_batch_queued")
_LIST_OF = {"Live": "running", "Stopped": "stopped"}


def _job(model: Model) -> dict[str, Any]:
    live = model.status == "Live"
    return {
        "Models": model.name,
        "Framework": FRAMEWORK,
        "Cluster": CLUSTER,
        "Model Status": "running" if live else model.status.lower(),
        "Description": f"{model.name} - {model.description}",
        "Model Version": model.version if live else "",
    }


def not_live(model: Model) -> Refusal:
    """503: the model is not live."""
    return endpoint_error("503_not_live", 503, f"{model.name!r} is not currently live on Metis.")


def under_maintenance(notice: str) -> Refusal:
    """503: the cluster is under maintenance."""
    return coded("503_maintenance", 503, "cluster_under_maintenance", notice)


def status_page_failure(page: str) -> Refusal:
    """500 or 504: the status page cannot be read.

    Args:
        page: "timeout", "not_an_object", or anything else for an error of the page.
    """
    if page == "timeout":
        return coded("504_jobs", 504, "failed_to_get_cluster_jobs", f"Timeout calling {STATUS_URL!r}")
    text = f"Unexpected error calling {STATUS_URL!r}: Server error '500 Internal Server Error'"
    if page == "not_an_object":
        text = "Unexpected response type from Metis status URL"
    return coded("500_jobs", 500, "failed_to_get_cluster_jobs", text)
