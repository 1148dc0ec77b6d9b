"""Which executor of a site runs a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from metis_flow.errors import ConfigError, did_you_mean
from metis_flow.plan.plan import called
from metis_flow.sites.config import WORKERS, SiteConfig
from metis_flow.sites.executors import (
    CHAT,
    ExecutorConfig,
    GlobusComputeConfig,
    HtexConfig,
    MpiConfig,
    ProcessesConfig,
    ThreadsConfig,
    usable_cores,
)
from metis_flow.units import format_size
from metis_flow.workflow.definition import Resources, StepDef, WorkflowDef


@dataclass(frozen=True)
class Use:
    """What a workflow wants of one executor.

    Attributes:
        steps: the names of the steps that it runs.
        nodes: nodes of each MPI step, by its name.
    """

    steps: tuple[str, ...]
    nodes: Mapping[str, int]


def executors_in_use(site: SiteConfig, workflow: WorkflowDef) -> dict[str, Use]:
    """The executors that the steps of a workflow choose, each with its steps; the driver's own for chat is left out.

    Raises:
        ConfigError: a step fits none; ``where`` is its place in the workflow.
    """
    chosen: dict[str, list[StepDef]] = {}
    for step in _working_steps(workflow):
        try:
            chosen.setdefault(choose_executor(site, step), []).append(step)
        except ConfigError as error:
            place = ("steps", step.name, "resources" if step.executor is None else "executor")
            if place in workflow.document.values:
                at = workflow.document.error(error.summary, place)
                error.where, error.detail = at.where, at.detail
            raise
    chosen.pop(CHAT, None)
    return {name: _use(site.executors[name], steps) for name, steps in chosen.items()}


def _working_steps(workflow: WorkflowDef) -> Iterator[StepDef]:
    """The steps of a workflow and of those that it calls; a call itself runs nowhere."""
    for one in (workflow, *called(workflow)):
        yield from (step for step in one.steps.values() if step.verb != "workflow")


def _use(config: ExecutorConfig, steps: list[StepDef]) -> Use:
    is_mpi = isinstance(config, MpiConfig)
    nodes = {step.name: mpi_specification(step.resources)["num_nodes"] for step in steps if is_mpi}
    return Use(tuple(step.name for step in steps), nodes)


def choose_executor(site: SiteConfig, step: StepDef) -> str:
    """The name of the executor that runs a step: the one that it names, else the first that has what it asks for.

    A chat step that names none goes to the driver's own (`chat`); ``executor: workers`` is the default one on any site.

    Raises:
        ConfigError: the site has no such executor, or none that fits.
    """
    if step.executor == CHAT or (step.executor is None and step.asks_model):
        if not step.asks_model:
            raise ConfigError(f"the step '{step.name}' cannot run on '{CHAT}', which answers chat steps only")
        return CHAT
    if step.executor is not None:
        return _named(site, step, step.executor)
    default, _ = site.work
    order = [default, *(name for name in site.executors if name != default)]
    misses = {name: list(_misses(site.executors[name], step)) for name in order}
    for name in order:
        if not misses[name]:
            return name
    nearest = min(order, key=lambda name: len(misses[name]))
    raise ConfigError(
        f"no executor of the site '{site.name}' fits the step '{step.name}', which {_wants(step)}",
        hint=f"the nearest is '{nearest}': {'; '.join(misses[nearest])}; ask for less, or choose another --site",
    )


def _named(site: SiteConfig, step: StepDef, word: str) -> str:
    name = site.executor_name(word)
    if name is None:
        hint = did_you_mean(word, [*site.executors, WORKERS])
        raise ConfigError(
            f"the site '{site.name}' has no executor '{word}', which the step '{step.name}' names", hint=hint
        )
    misses = list(_misses(site.executors[name], step, named=True))
    if misses:
        raise ConfigError(
            f"the executor '{name}' of the site '{site.name}' does not fit the step '{step.name}', "
            f"which {_wants(step)}: {'; '.join(misses)}",
            hint="ask for less, or name no 'executor' and let the step find one that fits",
        )
    return name


def mpi_specification(resources: Resources | None) -> dict[str, int]:
    """What Parsl's MPIExecutor wants to know of a step: nodes, ranks a node, and ranks in all."""
    nodes = (resources.nodes if resources is not None else None) or 1
    ranks = (resources.ranks_per_node if resources is not None else None) or 1
    return {"num_nodes": nodes, "ranks_per_node": ranks, "num_ranks": nodes * ranks}


def _misses(config: ExecutorConfig, step: StepDef, *, named: bool = False) -> Iterator[str]:
    """What an executor lacks for a step, each in words."""
    wanted = step.resources or Resources()
    if isinstance(config, MpiConfig):
        if step.asks_model:
            yield "it runs MPI steps, not calls"
        elif not wanted.is_mpi and not named:
            yield "it takes whole nodes, for steps with 'nodes' or 'ranks_per_node'"
    elif wanted.is_mpi:
        yield "it gives a step no nodes of its own"
    if isinstance(config, GlobusComputeConfig) and step.verb == "run" and not config.shared_folder:
        yield "it does not see the folder of the run, which a script needs"
    cores, gpus, memory = offered(config)
    if wanted.cores is not None and cores is not None and wanted.cores > cores:
        yield f"it has {_count(cores, 'core')} for an instance"
    if wanted.gpus is not None and gpus is not None and wanted.gpus > gpus:
        yield f"it has {_count(gpus, 'GPU')} for an instance" if gpus else "it has no GPU"
    if wanted.memory is not None and memory is not None and wanted.memory > memory:
        yield f"it has {format_size(memory)} of memory for an instance"


def offered(config: ExecutorConfig) -> tuple[int | None, int | None, int | None]:
    """Cores, GPUs and bytes of memory that one instance gets; None where the file does not say."""
    cores, gpus = config.cores, config.gpus
    if isinstance(config, ThreadsConfig | ProcessesConfig):  # they share the machine
        cores, gpus = cores or usable_cores(), gpus or 0
    elif isinstance(config, HtexConfig) and gpus is None:
        gpus = min(1, config.accelerator_count)
    return cores, gpus, config.memory


def _wants(step: StepDef) -> str:
    wanted = step.resources
    if wanted is None:
        return {"run": "is a script", "chat": "asks a model"}.get(step.verb, "is a function")
    parts = [
        _count(number, word)
        for number, word in (
            (wanted.nodes, "node"),
            (wanted.ranks_per_node, "rank a node"),
            (wanted.cores, "core"),
            (wanted.gpus, "GPU"),
        )
        if number is not None
    ]
    return "asks for " + ", ".join([*parts, *([format_size(wanted.memory)] if wanted.memory is not None else [])])


def _count(number: int, word: str) -> str:
    first, _, rest = word.partition(" ")
    return f"{number} {first}{'' if number == 1 else 's'}{' ' + rest if rest else ''}"
