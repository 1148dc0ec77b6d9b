"""Which executor of a site runs a step, and how executors share an allocation."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from metis_flow.errors import ConfigError
from metis_flow.sites.allocation import allocated_hosts, divide, site_hosts
from metis_flow.sites.choice import choose_executor, executors_in_use, mpi_specification
from metis_flow.sites.config import SiteConfig, find_site
from metis_flow.sites.parsl_config import host_parts, parsl_config
from metis_flow.workflow.definition import Resources, WorkflowDef
from metis_flow.workflow.load import load_workflow

SITE = """
executors:
  light: {kind: threads, cores: 2}
  heavy: {kind: processes, cores: 8, gpus: 1, memory: 16 GB}
  mpi: {kind: mpi, cores: 32, gpus: 4}
"""


@pytest.fixture
def site(tmp_path: Path) -> SiteConfig:
    (tmp_path / "ours.yaml").write_text(SITE)
    return find_site(str(tmp_path / "ours.yaml"))


def workflow(folder: Path, steps: str) -> WorkflowDef:
    path = folder / "flow.yaml"
    path.write_text("version: 1\nname: flow\nmodel: m\nsteps:\n" + textwrap.indent(textwrap.dedent(steps), "  "))
    return load_workflow(path)


def chosen(site: SiteConfig, folder: Path, step: str) -> str:
    return choose_executor(site, workflow(folder, f"a: {{{step}}}").steps["a"])


@pytest.mark.parametrize(
    ("step", "executor"),
    [
        ("chat: hello", "chat"),
        ("chat: hello, executor: chat", "chat"),
        ("chat: hello, executor: workers", "light"),
        ("chat: hello, executor: heavy", "heavy"),
        ("run: ls", "light"),
        ("run: ls, executor: workers", "light"),
        ("run: ls, executor: heavy", "heavy"),
        ("run: ls, executor: mpi", "mpi"),
        ("run: ls, resources: {cores: 2}", "light"),
        ("run: ls, resources: {cores: 3}", "heavy"),
        ("run: ls, resources: {gpus: 1}", "heavy"),
        ("run: ls, resources: {memory: 16 GB}", "light"),  # of which the file says nothing
        ("run: ls, resources: {nodes: 2}", "mpi"),
        ("run: ls, resources: {ranks_per_node: 4}", "mpi"),
        ("run: ls, resources: {nodes: 1, gpus: 4}", "mpi"),
        ("uses: count, with: {values: []}, resources: {cores: 8}", "heavy"),
    ],
)
def test_a_step_goes_where_it_says_or_where_it_fits(site: SiteConfig, tmp_path: Path, step: str, executor: str) -> None:
    assert chosen(site, tmp_path, step) == executor


@pytest.mark.parametrize(
    ("step", "summary", "hint"),
    [
        (
            "run: ls, executor: hevy",
            "the site 'ours' has no executor 'hevy', which the step 'a' names",
            "did you mean 'heavy'?",
        ),
        (
            "run: ls, resources: {cores: 16, gpus: 1}",
            "no executor of the site 'ours' fits the step 'a', which asks for 16 cores, 1 GPU",
            "the nearest is 'heavy': it has 8 cores for an instance; ask for less, or choose another --site",
        ),
        (
            "run: ls, resources: {nodes: 2, gpus: 6}",
            "no executor of the site 'ours' fits the step 'a', which asks for 2 nodes, 6 GPUs",
            "the nearest is 'mpi': it has 4 GPUs for an instance; ask for less, or choose another --site",
        ),
        (
            "run: ls, executor: light, resources: {gpus: 1}",
            "the executor 'light' of the site 'ours' does not fit the step 'a', which asks for 1 GPU: it has no GPU",
            "ask for less, or name no 'executor' and let the step find one that fits",
        ),
        (
            "run: ls, executor: heavy, resources: {nodes: 2}",
            "the executor 'heavy' of the site 'ours' does not fit the step 'a', which asks for 2 nodes: "
            "it gives a step no nodes of its own",
            "ask for less, or name no 'executor' and let the step find one that fits",
        ),
        (
            "chat: hello, executor: mpi",
            "the executor 'mpi' of the site 'ours' does not fit the step 'a', which asks a model: "
            "it runs MPI steps, not calls",
            "ask for less, or name no 'executor' and let the step find one that fits",
        ),
        ("run: ls, executor: chat", "the step 'a' cannot run on 'chat', which answers chat steps only", None),
    ],
)
def test_a_step_that_fits_nowhere(site: SiteConfig, tmp_path: Path, step: str, summary: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        chosen(site, tmp_path, step)
    assert (caught.value.summary, caught.value.hint) == (summary, hint)


def test_the_mistake_is_shown_in_the_workflow(site: SiteConfig, tmp_path: Path) -> None:
    flow = workflow(tmp_path, "a: {run: ls, executor: gpu}\n")
    with pytest.raises(ConfigError) as caught:
        executors_in_use(site, flow)
    assert caught.value.where == f"{tmp_path / 'flow.yaml'}:5:26"


def test_a_script_needs_the_folder_of_the_run_on_globus_compute(tmp_path: Path) -> None:
    site = find_site("globus-compute")
    assert chosen(site, tmp_path, "uses: count, with: {values: []}") == "globus"
    with pytest.raises(ConfigError) as caught:
        chosen(site, tmp_path, "run: ls")
    assert caught.value.summary == "no executor of the site 'globus-compute' fits the step 'a', which is a script"
    shared = find_site("globus-compute", settings=["executors.globus.shared_folder=true"])
    assert chosen(shared, tmp_path, "run: ls") == "globus"


def test_only_what_the_steps_choose_is_in_use(site: SiteConfig, tmp_path: Path) -> None:
    flow = workflow(
        tmp_path,
        """\
        ask: {chat: hello}
        a: {run: ls, resources: {nodes: 3, ranks_per_node: 2}}
        b: {run: ls, executor: mpi}
        """,
    )
    uses = executors_in_use(site, flow)
    assert list(uses) == ["mpi"]
    assert (uses["mpi"].steps, uses["mpi"].nodes) == (("a", "b"), {"a": 3, "b": 1})


def test_what_parsl_wants_to_know_of_an_mpi_step() -> None:
    resources = Resources(nodes=2, ranks_per_node=4)
    assert mpi_specification(resources) == {"num_nodes": 2, "ranks_per_node": 4, "num_ranks": 8}
    assert mpi_specification(None) == {"num_nodes": 1, "ranks_per_node": 1, "num_ranks": 1}


# -- the nodes of an allocation


@pytest.fixture
def four_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "nodefile"
    path.write_text("x1\nx2\nx2\nx3\nx4\n")
    monkeypatch.setenv("PBS_NODEFILE", str(path))
    return path


def test_each_host_counts_once(four_nodes: Path) -> None:
    assert site_hosts(find_site("polaris")) == ("x1", "x2", "x3", "x4")
    assert site_hosts(find_site("polaris", settings=["nodes=2"])) == ("x1", "x2")


def test_more_nodes_than_there_are(four_nodes: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        site_hosts(find_site("polaris", settings=["nodes=5"]))
    assert caught.value.summary == "the site 'polaris' asks for 5 nodes, and this allocation has 4 nodes"
    assert caught.value.hint == "say --set nodes=4, or leave 'nodes' out to use them all"


@pytest.mark.parametrize("name", ["polaris", "aurora"])
def test_outside_of_an_allocation(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PBS_NODEFILE", raising=False)
    uses = executors_in_use(find_site(name), workflow(tmp_path, "a: {run: ls}\n"))
    with pytest.raises(ConfigError) as caught:
        parsl_config(find_site(name), tmp_path, uses)
    assert caught.value.summary == f"the site '{name}' is for the inside of a PBS allocation, and this is none"
    assert caught.value.hint == (
        f"on a login node say --site {name}-login; or let a job run the workflow: metis-flow submit FILE --site {name}"
    )


def test_slurm_nodes_by_name_and_by_scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert allocated_hosts("slurm", {}) is None
    assert allocated_hosts("slurm", {"SLURM_JOB_NODELIST": "n1,n2"}) == ("n1", "n2")
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames n[1-3]" ] && printf "n1\\nn2\\nn3\\n"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        allocated_hosts("slurm", {"SLURM_JOB_NODELIST": "n[4-5]"})
    assert caught.value.summary == "scontrol cannot read the nodes n[4-5]"
    assert allocated_hosts("slurm", {"SLURM_JOB_NODELIST": "n[1-3]"}) == ("n1", "n2", "n3")


def test_a_nodefile_that_is_not_there() -> None:
    with pytest.raises(ConfigError) as caught:
        allocated_hosts("pbs", {"PBS_NODEFILE": "/no/such/file"})
    assert caught.value.summary == "PBS_NODEFILE cannot be read: No such file or directory"


BOTH = """\
    a: {run: ls, resources: {nodes: 2}}
    b: {run: ls}
"""


def test_two_executors_divide_the_nodes_and_each_is_told_its_own(tmp_path: Path, four_nodes: Path) -> None:
    site = find_site("polaris", settings=["split={mpi: 3, workers: rest}"])
    uses = executors_in_use(site, workflow(tmp_path, BOTH))
    config = parsl_config(site, tmp_path, uses)
    by_name: dict[str, Any] = {executor.label: executor for executor in config.executors}
    assert {name: by_name[name].provider.nodes_per_block for name in by_name} == {"mpi": 3, "workers": 1}
    for name, hosts in (("mpi", "x1\nx2\nx3\n"), ("workers", "x4\n")):
        assert (tmp_path / f"nodes-{name}").read_text() == hosts
        assert f"export PBS_NODEFILE={tmp_path}/nodes-{name}" in by_name[name].provider.worker_init
    assert by_name["mpi"].max_workers_per_block == 1


def test_an_executor_alone_takes_all_nodes_also_where_a_split_is_given(tmp_path: Path, four_nodes: Path) -> None:
    site = find_site("polaris", settings=["split={mpi: 2, workers: rest}"])
    uses = executors_in_use(site, workflow(tmp_path, "b: {run: ls}\n"))
    assert host_parts(site, uses) == {"workers": ("x1", "x2", "x3", "x4")}


def test_nodes_that_nobody_divided(tmp_path: Path, four_nodes: Path) -> None:
    site = find_site("polaris")
    with pytest.raises(ConfigError) as caught:
        parsl_config(site, tmp_path, executors_in_use(site, workflow(tmp_path, BOTH)))
    assert caught.value.summary == (
        "the executors mpi and workers of the site 'polaris' would all take the 4 nodes of the allocation"
    )
    assert caught.value.hint == (
        "divide them: --set 'split={mpi: 1, workers: rest}'; or let all steps run on one: 'executor: mpi'"
    )
    with pytest.raises(ConfigError) as caught:
        divide(site, ["x1"], ["mpi", "workers"])
    assert str(caught.value.hint).startswith("ask for more nodes and divide them: ")


def test_a_split_that_does_not_fit(four_nodes: Path) -> None:
    site = find_site("polaris", settings=["split={mpi: 4, workers: rest}"])
    with pytest.raises(ConfigError) as caught:
        divide(site, site_hosts(site), ["mpi", "workers"])
    assert caught.value.summary == "4 nodes cannot be divided into mpi: 4, workers: rest"


def test_an_mpi_step_that_would_wait_for_ever(tmp_path: Path, four_nodes: Path) -> None:
    site = find_site("polaris")
    uses = executors_in_use(site, workflow(tmp_path, "wide: {run: ls, resources: {nodes: 5}}\n"))
    with pytest.raises(ConfigError) as caught:
        parsl_config(site, tmp_path, uses)
    assert caught.value.summary == "the step 'wide' takes 5 nodes, and the executor 'mpi' of the site 'polaris' has 4"


def test_from_a_login_node_each_executor_has_jobs_of_its_own(tmp_path: Path) -> None:
    site = find_site("polaris-login", settings=["nodes=2"])
    config = parsl_config(site, tmp_path, executors_in_use(site, workflow(tmp_path, BOTH)))
    assert [executor.label for executor in config.executors] == ["mpi", "workers"]
