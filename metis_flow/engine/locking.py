"""Writes down what a run is started with: the lock file, and a copy of every source."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from metis_flow.engine.answerer import Answerer, step_models
from metis_flow.engine.options import RunOptions
from metis_flow.inference.config_files import looks_like_path
from metis_flow.plan.plan import Plan
from metis_flow.record.folder import RunFolder
from metis_flow.record.lockfile import RunLock, git_state, package_versions, write_lock
from metis_flow.sites.config import SiteConfig
from metis_flow.tasks import find_task, source_files
from metis_flow.workflow.definition import CallDef, ChatDef
from metis_flow.workflow.trees import reads_only


def write_sources(plan: Plan, folder: RunFolder) -> dict[str, str]:
    """Copy the workflow, what it includes and the user's modules; their hashes by relative path."""
    workflow = plan.workflow
    folder.write_bytes(folder.workflow_file.name, workflow.document.text.encode())
    texts = {name: text.encode() for name, text in workflow.included.items()}
    for step in workflow.steps.values():
        if isinstance(step.body, CallDef):
            for path in _code_beside(step.verb, step.body.target, workflow.folder.resolve()):
                texts[str(path.relative_to(workflow.folder.resolve()))] = path.read_bytes()
    for name, data in texts.items():
        folder.write_bytes(f"{folder.sources.name}/{_inside(name)}", data)
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(texts.items())}


def _code_beside(verb: str, target: str, folder: Path) -> list[Path]:
    """The files beside the workflow that hold the code of a python or uses step."""
    if verb == "python":
        return source_files(target, folder)
    place, _, _ = find_task(target, folder).where.rpartition(":")
    return [Path(place)] if Path(place).is_relative_to(folder) else []


def lock_run(
    plan: Plan, folder: RunFolder, answerer: Answerer | None, site: SiteConfig, options: RunOptions
) -> RunLock:
    """Write ``lock.json``."""
    sources = write_sources(plan, folder)
    settings = {
        name: _settings(plan, step.body) for name, step in plan.workflow.steps.items() if isinstance(step.body, ChatDef)
    }
    models = step_models(plan, answerer) if answerer is not None else {}
    lock = RunLock(
        run=folder.id,
        workflow=str(plan.workflow.path.absolute()),
        parameters=dict(plan.params),
        models={name: {"name": models.get(name), **values} for name, values in settings.items()},
        endpoint=_reference(answerer.endpoint.name, options.endpoint) if answerer is not None else None,
        site=_reference(site.name, options.site),
        tasks={name: step.source_hash for name, step in plan.steps.items() if step.source_hash is not None},
        sources=sources,
        seeds={name: values["seed"] for name, values in settings.items() if isinstance(values.get("seed"), int)},
        options={"limit": plan.limit},
        packages=package_versions(),
        git=git_state(plan.workflow.folder),
    )
    write_lock(folder, lock)
    return lock


def _reference(name: str, asked: str | None) -> str:
    """How to find an endpoint or a site again: its name, or the absolute path that the user gave."""
    return str(Path(asked).absolute()) if asked is not None and looks_like_path(asked) else name


def _settings(plan: Plan, body: ChatDef) -> dict[str, Any]:
    """The settings that can be known before the run."""
    scope = {"params": plan.params}
    return {name: value.evaluate(scope) for name, value in body.settings.items() if reads_only(value, {"params"})}


def _inside(name: str) -> str:
    """The name of an included file inside the record; those beside or above the workflow's folder are put together."""
    return "/".join(part for part in Path(name).parts if part not in ("..", "/", "."))
