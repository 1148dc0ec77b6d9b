"""Writes down what a run is started with: the lock file, and a copy of every source."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

from metis_flow.engine.answerer import Answerer, step_models
from metis_flow.engine.options import RunOptions
from metis_flow.inference.config_files import looks_like_path
from metis_flow.plan.plan import Plan, called
from metis_flow.plan.selection import Selection
from metis_flow.record.folder import RunFolder
from metis_flow.record.lockfile import RunLock, git_state, package_versions, write_lock
from metis_flow.sites.config import SiteConfig
from metis_flow.tasks import find_task, source_files
from metis_flow.workflow.definition import CallDef, ChatDef
from metis_flow.workflow.trees import reads_only


def sources_of(plan: Plan) -> dict[str, bytes]:
    """What the workflow includes, and the user's modules, by their path beside it."""
    workflow = plan.workflow
    texts = {name: text.encode() for name, text in workflow.included.items()}
    for one in (workflow, *called(workflow)):
        for step in one.steps.values():
            if isinstance(step.body, CallDef):
                for path in _code_beside(step.verb, step.body.target, one.folder.resolve()):
                    texts[os.path.relpath(path, workflow.folder.resolve())] = path.read_bytes()
    return texts


def recorded_source(folder: RunFolder, name: str) -> Path:
    """Where the record keeps what the workflow calls by this name."""
    return folder.sources / _inside(name)


def write_sources(plan: Plan, folder: RunFolder) -> dict[str, str]:
    """Copy the workflow, what it includes and the user's modules; their hashes by relative path."""
    folder.write_bytes(folder.workflow_file.name, plan.workflow.document.text.encode())
    texts = sources_of(plan)
    for name, data in texts.items():
        folder.write_bytes(f"{folder.sources.name}/{_inside(name)}", data)
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(texts.items())}


def accept_changes(plan: Plan, folder: RunFolder, lock: RunLock) -> None:
    """Record the workflow as it is now, beside what it was before."""
    kept = sum(1 for path in folder.path.glob("workflow-before-*.yaml")) + 1
    folder.write_bytes(f"workflow-before-{kept}.yaml", folder.workflow_file.read_bytes())
    tasks = {name: step.source_hash for name, step in plan.steps.items() if step.source_hash is not None}
    write_lock(folder, dataclasses.replace(lock, sources=write_sources(plan, folder), tasks=tasks))


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
        name: _settings(plan, name, step.body)
        for name, step in plan.asking.items()
        if isinstance(step.body, ChatDef | CallDef)
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
        options=chosen(plan, options),
        packages=package_versions(),
        git=git_state(plan.workflow.folder),
    )
    write_lock(folder, lock)
    return lock


def chosen(plan: Plan, options: RunOptions) -> dict[str, Any]:
    """What else decides which instances run, for a resume to decide the same."""
    return {
        "limit": plan.limit,
        "settings": list(options.settings),
        "cache": options.cache,
        "forced": sorted(options.forced),
        "selection": dataclasses.asdict(options.selection) if options.selection is not None else None,
    }


def as_chosen(lock: RunLock, options: RunOptions) -> RunOptions:
    """The options of a resume, with what the run was started with."""
    selection = lock.options.get("selection")
    # those of the lock belong to its site
    settings = () if options.site else tuple(lock.options.get("settings", ()))
    return dataclasses.replace(
        options,
        endpoint=options.endpoint or lock.endpoint,
        site=options.site or lock.site,
        settings=(*settings, *options.settings),
        cache=options.cache and lock.options.get("cache", True),
        forced=options.forced | frozenset(lock.options.get("forced", ())),
        selection=options.selection or (Selection(**selection) if selection else None),
    )


def _reference(name: str, asked: str | None) -> str:
    """How to find an endpoint or a site again: its name, or the absolute path that the user gave."""
    return str(Path(asked).absolute()) if asked is not None and looks_like_path(asked) else name


def _settings(plan: Plan, step: str, body: ChatDef | CallDef) -> dict[str, Any]:
    """The settings that can be known before the run; a called workflow (``step.its_step``) has its own parameters."""
    scope = {} if "." in step else {"params": plan.params}
    return {name: value.evaluate(scope) for name, value in body.settings.items() if reads_only(value, scope.keys())}


def _inside(name: str) -> str:
    """The name of an included file inside the record; those beside or above the workflow's folder are put together."""
    return "/".join(part for part in Path(name).parts if part not in ("..", "/", "."))
