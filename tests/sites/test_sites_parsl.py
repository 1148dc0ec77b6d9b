"""What Parsl is told of each site. The facts about the machines stand here once more, as their owners give them."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, MPIExecutor, ThreadPoolExecutor
from parsl.launchers import MpiExecLauncher, SimpleLauncher, SingleNodeLauncher, SrunLauncher
from parsl.providers import LocalProvider, PBSProProvider, SlurmProvider

from metis_flow.errors import ConfigError
from metis_flow.sites.choice import Use
from metis_flow.sites.commands import helper, worker_command
from metis_flow.sites.config import SiteConfig, find_site
from metis_flow.sites.parsl_config import driver_environment, instances_at_once, parsl_config
from metis_flow.sites.providers import worker_address

POLARIS_CORES = "list:24-31,56-63:16-23,48-55:8-15,40-47:0-7,32-39"
AURORA_TILES = ["0.0", "0.1", "1.0", "1.1", "2.0", "2.1", "3.0", "3.1", "4.0", "4.1", "5.0", "5.1"]
AURORA_CORES = (
    "list:1-8,105-112:9-16,113-120:17-24,121-128:25-32,129-136:33-40,137-144:41-48,145-152:53-60,157-164:61-68,165-172"
    ":69-76,173-180:77-84,181-188:85-92,189-196:93-100,197-204"
)
PROXY = "http://proxy.alcf.anl.gov:3128"
WORKERS = {"workers": Use(("a",), {})}


@pytest.fixture
def nodefile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An allocation of two nodes; one stands in its file twice, as it does where chunks are packed."""
    for name in ("SLURM_JOB_NODELIST", "SLURM_NODELIST", "LOADEDMODULES", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "nodefile"
    path.write_text("x3001\nx3001\nx3002\n")
    monkeypatch.setenv("PBS_NODEFILE", str(path))
    return path


def only(config: Config) -> Any:
    (executor,) = config.executors
    return executor


def facts(thing: object, expected: Mapping[str, object]) -> dict[str, object]:
    """The attributes that are expected, as they are."""
    return {name: getattr(thing, name) for name in expected}


def told(site: SiteConfig, run_dir: Path, uses: Mapping[str, Use] = WORKERS) -> Any:
    return only(parsl_config(site, run_dir, uses))


# -- on this machine


def test_threads_become_a_thread_pool(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_text("executors: {mine: {kind: threads, workers: 3}}\n")
    config = parsl_config(find_site(str(tmp_path / "big.yaml")), tmp_path / "parsl", {"mine": Use(("a",), {})})
    executor = only(config)
    assert isinstance(executor, ThreadPoolExecutor)
    assert (executor.label, executor.max_threads) == ("mine", 3)
    assert config.run_dir == str(tmp_path / "parsl")
    assert (config.initialize_logging, config.retries, config.usage_tracking) == (False, 0, 0)


def test_processes_stay_on_this_machine_and_are_encrypted(tmp_path: Path) -> None:
    site = find_site("local-processes", settings=["executors.processes.workers=5"])
    executor = told(site, tmp_path, {"processes": Use(("a",), {})})
    assert isinstance(executor, HighThroughputExecutor)
    assert (executor.address, executor.loopback_address, executor.encrypted) == ("127.0.0.1", "127.0.0.1", True)
    assert executor.max_workers_per_node == 5
    assert executor.cores_per_worker < 1 / 5  # Parsl would cap the workers at the cores of this machine
    # by full path, so that an environment that was not activated works too
    assert executor.launch_cmd.startswith(f"{sys.executable} {helper('process_worker_pool.py')} ")
    assert executor.interchange_launch_cmd[0] == sys.executable
    assert executor.interchange_launch_cmd[-1] == helper("interchange.py")


def test_an_executor_that_no_step_needs_is_not_started(tmp_path: Path) -> None:
    other = ThreadPoolExecutor(label="other")
    assert list(parsl_config(find_site("local-processes"), tmp_path, {}, others=[other]).executors) == [other]


def test_parsl_writes_no_debug_log_and_looks_often(tmp_path: Path) -> None:
    config = parsl_config(find_site("local-processes"), tmp_path, {"processes": Use(("a",), {})})
    assert config.initialize_logging is not True
    assert (config.strategy, config.strategy_period) == ("simple", 0.2)


# -- Polaris


def test_polaris_inside_an_allocation(tmp_path: Path, nodefile: Path) -> None:
    executor = told(find_site("polaris"), tmp_path)
    expected: dict[str, object] = {
        "available_accelerators": ["0", "1", "2", "3"],
        "max_workers_per_node": 4,
        "cpu_affinity": POLARIS_CORES,
        "prefetch_capacity": 0,
        "heartbeat_period": 15,
        "heartbeat_threshold": 120,
        "encrypted": True,
    }
    assert facts(executor, expected) == expected
    expected = {"nodes_per_block": 2, "init_blocks": 1, "max_blocks": 1}
    assert isinstance(executor.provider, LocalProvider)
    assert facts(executor.provider, expected) == expected
    launcher = executor.provider.launcher
    assert isinstance(launcher, MpiExecLauncher)
    assert facts(launcher, {"bind_cmd": "", "overrides": ""}) == {"bind_cmd": "--cpu-bind", "overrides": "--ppn 1"}


def test_polaris_from_a_login_node(tmp_path: Path) -> None:
    site = find_site("polaris-login", settings=["account=Moons", "nodes=3", "walltime=30m"])
    config = parsl_config(site, tmp_path, WORKERS)
    executor = only(config)
    expected: dict[str, object] = {
        "available_accelerators": ["0", "1", "2", "3"],
        "max_workers_per_node": 4,
        "cpu_affinity": POLARIS_CORES,
        "prefetch_capacity": 0,
        "heartbeat_period": 15,
        "heartbeat_threshold": 120,
    }
    assert facts(executor, expected) == expected
    assert isinstance(executor.provider, PBSProProvider)
    expected = {
        "account": "Moons",
        "queue": "debug",
        "nodes_per_block": 3,
        "walltime": "00:30:00",
        "select_options": "ngpus=4",
        "cpus_per_node": 32,
        "scheduler_options": "#PBS -l filesystems=home:eagle",
        "init_blocks": 0,
        "min_blocks": 0,
        "max_blocks": 1,
    }
    assert facts(executor.provider, expected) == expected
    launcher = executor.provider.launcher
    assert isinstance(launcher, MpiExecLauncher)
    assert (launcher.bind_cmd, launcher.overrides) == ("--cpu-bind", "--depth=64 --ppn 1")
    assert config.max_idletime == 60


# -- Aurora


def test_aurora_inside_an_allocation(tmp_path: Path, nodefile: Path) -> None:
    executor = told(find_site("aurora"), tmp_path)
    expected: dict[str, object] = {
        "available_accelerators": AURORA_TILES,
        "max_workers_per_node": 12,
        "cpu_affinity": AURORA_CORES,
        "prefetch_capacity": 0,
        "heartbeat_period": 15,
        "heartbeat_threshold": 120,
        "encrypted": True,
    }
    assert facts(executor, expected) == expected
    assert (executor.provider.nodes_per_block, executor.provider.max_blocks) == (2, 1)
    assert (executor.provider.launcher.bind_cmd, executor.provider.launcher.overrides) == ("--cpu-bind", "--ppn 1")
    assert find_site("aurora").interfaces == ["hsn0"]


def test_aurora_from_a_login_node(tmp_path: Path) -> None:
    executor = told(find_site("aurora-login", settings=["account=Moons"]), tmp_path)
    assert executor.available_accelerators == AURORA_TILES
    assert executor.cpu_affinity == AURORA_CORES
    expected: dict[str, object] = {
        "scheduler_options": "#PBS -l filesystems=home:flare",
        "cpus_per_node": 208,
        "queue": "debug",
        "account": "Moons",
        "init_blocks": 0,
        "min_blocks": 0,
        "walltime": "01:00:00",
    }
    assert facts(executor.provider, expected) == expected


@pytest.mark.parametrize("name", ["polaris", "aurora"])
def test_mpi_steps_take_turns_on_the_nodes(name: str, tmp_path: Path, nodefile: Path) -> None:
    nodefile.write_text("".join(f"x{n}\n" for n in range(7)))
    uses = {"mpi": Use(("wide", "narrow"), {"wide": 4, "narrow": 2})}
    executor = told(find_site(name), tmp_path, uses)
    assert (type(executor), type(executor.provider.launcher)) == (MPIExecutor, SimpleLauncher)
    assert executor.max_workers_per_block == 7 // 2
    assert executor.mpi_launcher == "mpiexec"
    assert executor.encrypted
    assert instances_at_once(find_site(name), uses) == {"mpi": 3}


@pytest.mark.parametrize("name", ["polaris", "aurora"])
def test_the_driver_gets_proxies_inside_an_allocation_only(
    name: str, nodefile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {"http_proxy": PROXY, "https_proxy": PROXY, "no_proxy": "localhost,127.0.0.1"}
    assert driver_environment(find_site(name)) == expected
    assert driver_environment(find_site(f"{name}-login")) == {}


# -- Slurm


def test_slurm_submits_jobs_outside_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_NODELIST", "SLURM_NODELIST"):
        monkeypatch.delenv(name, raising=False)
    site = find_site("slurm", settings=["queue=debug", "account=Moons", "nodes=2"])
    executor = told(site, tmp_path)
    assert isinstance(executor.provider, SlurmProvider)
    expected: dict[str, object] = {"partition": "debug", "account": "Moons", "nodes_per_block": 2, "init_blocks": 0}
    assert facts(executor.provider, expected) == expected
    assert isinstance(executor.provider.launcher, SrunLauncher)
    assert executor.provider.launcher.overrides == "--nodes=2 --ntasks-per-node=1"
    assert executor.max_workers_per_node == float("inf")  # each node knows its own cores


def test_slurm_uses_the_nodes_of_the_job_that_it_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_NODELIST", "n1,n2")
    executor = told(find_site("slurm"), tmp_path)
    assert isinstance(executor.provider, LocalProvider)
    assert executor.provider.nodes_per_block == 2
    assert (executor.provider.init_blocks, executor.provider.min_blocks) == (1, 1)
    assert executor.provider.launcher.overrides == "--nodes=2 --ntasks-per-node=1 --nodelist=n1,n2"


# -- launchers, addresses, commands


@pytest.mark.parametrize(
    ("launcher", "kind"),
    [("mpiexec", MpiExecLauncher), ("srun", SrunLauncher), ("simple", SimpleLauncher), ("single", SingleNodeLauncher)],
)
def test_launchers(launcher: str, kind: type, tmp_path: Path, nodefile: Path) -> None:
    site = find_site("polaris", settings=[f"executors.workers.launcher={launcher}"])
    assert type(told(site, tmp_path).provider.launcher) is kind


def address(setting: str, *hosts: str) -> str:
    site = find_site("polaris", settings=[setting])
    config = site.executors["workers"]
    assert config.kind == "htex"
    return worker_address(site, config, hosts or None)


def test_workers_reach_the_driver_by_the_fast_network_where_there_is_one() -> None:
    assert address("interfaces=[hsn0, lo]", "x1", "x2") == "127.0.0.1"
    assert address("interfaces=[hsn0]", "x1") == "127.0.0.1"  # only this node
    assert address("executors.workers.address=lo", "x1", "x2") == "127.0.0.1"
    assert address("executors.workers.address=10.1.2.3", "x1", "x2") == "10.1.2.3"
    assert address("interfaces=[hsn0]", "x1", "x2") == socket.gethostbyname(socket.gethostname())


def test_an_interface_that_is_not_there() -> None:
    with pytest.raises(ConfigError) as caught:
        address("executors.workers.address=hsn9", "x1", "x2")
    assert caught.value.summary == "'hsn9' is no IP address, and no network interface of this machine"
    assert str(caught.value.hint).startswith("interfaces: ")


def test_a_helper_of_parsl_that_is_missing_says_what_to_do() -> None:
    with pytest.raises(ConfigError) as caught:
        helper("no-such-helper.py")
    assert caught.value.summary == f"Parsl's no-such-helper.py is not beside {sys.executable}"
    assert caught.value.hint == "install parsl into the same environment"


def test_a_folder_with_odd_characters_survives_the_two_fillings_of_the_command() -> None:
    command = worker_command(Path("/a {b}/it's"))
    names = dict.fromkeys(("debug", "addresses", "logdir", "accelerators", "cpu_affinity", "mpi_launcher"), "")
    filled = command.partition(" && ")[0].format(**names).format(block_id=0)
    assert filled == "cd '/a {b}/it'\"'\"'s'"


def test_a_folder_of_runs_that_parsl_cannot_work_in_is_refused(tmp_path: Path) -> None:
    run_dir = tmp_path / "my runs" / "one" / "parsl"
    with pytest.raises(ConfigError) as caught:
        parsl_config(find_site("local-processes"), run_dir, {"processes": Use(("a",), {})})
    assert caught.value.summary == (
        f"Parsl cannot start worker processes for a run below {run_dir.parent}: its path holds ' '"
    )
    assert caught.value.hint == "give the runs another folder: --runs-dir DIR"
